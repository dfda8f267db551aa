//! One bit of a closed store flips. Every value must then be the one that was written, or an error; never another
//! value, and never silently missing.

use super::{
    Bench, Outcome, SuiteError,
    children::{Case, Checker, start_writer},
    failed,
    power_loss::copy,
};
use crate::faults::{
    checker::{Depth, Wrong},
    marks::Promises,
    seed::Chance,
};
use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::Duration,
};

/// Flips tried on one store before another one is made.
const FLIPS_PER_STORE: u64 = 50;
const WRITE_LIMIT: Duration = Duration::from_secs(120);
const PAGE: usize = 4096;

pub(super) fn run(bench: &Bench<'_>, cases: u64, outcome: &mut Outcome, progress: &mut dyn FnMut(&Outcome, u64)) -> Result<(), SuiteError> {
    let mut checker = Checker::new(&bench.plan.program, bench.work);
    for first in (0..cases).step_by(FLIPS_PER_STORE as usize) {
        let mut chance = bench.chance(first);
        let original = bench.fresh("original")?;
        let files = bench.fresh("files")?;
        let (marks, output) = (files.join("marks"), files.join("output"));
        let task = bench.task(chance.number(), 1 + chance.below(8), 60 + chance.below(150), 1 + chance.below(3));
        let mut writer = start_writer(&bench.plan.program, &original, bench.engine, &marks, &output, &task, None)?;
        let status = writer.wait_at_most(WRITE_LIMIT).map_err(failed("waiting for the writer"))?;
        if !status.is_some_and(|status| status.success()) {
            let said = fs::read_to_string(&output).unwrap_or_default();
            return Err(SuiteError::Child(format!("the writer ended with {status:?}: {said}")));
        }
        let promises = Promises::read(&marks).map_err(failed("reading the marks"))?;
        let places = Places::of(&original).map_err(failed("the files of the store"))?;
        for case in first..cases.min(first + FLIPS_PER_STORE) {
            let mut chance = bench.chance(case);
            let flip = places.choose(&mut chance);
            let directory = bench.fresh("flipped")?;
            copy(&original, &directory)?;
            flip.make(&directory).map_err(failed("flipping a bit"))?;
            let (workload, promises, depth) = (task.workload, promises.clone(), Depth::Read);
            let mut findings = checker.check(&Case { directory, engine: bench.engine, workload, promises: promises.clone(), depth })?;
            outcome.acknowledged += promises.acknowledged;
            let worst = findings.iter().map(|finding| finding.wrong).min();
            outcome.count(match worst {
                None => "unharmed",
                Some(Wrong::Open) => "refused to open",
                Some(Wrong::Read) => "reported when read",
                Some(_) => "silently wrong or stuck",
            });
            // Saying so is what a damaged store shall do.
            findings.retain(|finding| !matches!(finding.wrong, Wrong::Open | Wrong::Read));
            let text = format!("case {case}: bit {} of byte {} of {}", flip.bit, flip.byte, flip.file.display());
            let again = format!("store-faults --only bit-flips --engine {} --seed {}", bench.engine.name(), bench.plan.seed);
            bench.done(text, again, findings, outcome, progress);
        }
    }
    Ok(())
}

/// The pages of a store's files that hold anything. A preallocated journal is nearly all zeros, and a bit that flips
/// there would say little.
struct Places(Vec<(PathBuf, u64, usize)>);

struct Flip {
    file: PathBuf,
    byte: u64,
    bit: u8,
}

impl Places {
    fn of(directory: &Path) -> io::Result<Self> {
        let mut places = Vec::new();
        let mut open = vec![PathBuf::new()];
        while let Some(relative) = open.pop() {
            for entry in fs::read_dir(directory.join(&relative))? {
                let entry = entry?;
                let path = relative.join(entry.file_name());
                if entry.file_type()?.is_dir() {
                    open.push(path);
                    continue;
                }
                for (number, page) in fs::read(entry.path())?.chunks(PAGE).enumerate() {
                    if *page != [0; PAGE][..page.len()] {
                        places.push((path.clone(), (number * PAGE) as u64, page.len()));
                    }
                }
            }
        }
        places.sort();
        Ok(Self(places))
    }

    /// Half of the flips hit any page; the other half choose a file first, so that small files, which tell an engine
    /// what to make of the large ones, get their share.
    fn choose(&self, chance: &mut Chance) -> Flip {
        let mut candidates: Vec<&(PathBuf, u64, usize)> = self.0.iter().collect();
        if chance.percent(50) {
            let mut files: Vec<&PathBuf> = candidates.iter().map(|(file, ..)| file).collect();
            files.dedup();
            let file = files[chance.index(files.len())].clone();
            candidates.retain(|(candidate, ..)| *candidate == file);
        }
        let (file, start, length) = candidates[chance.index(candidates.len())];
        Flip { file: file.clone(), byte: start + chance.below(*length as u64), bit: chance.below(8) as u8 }
    }
}

impl Flip {
    fn make(&self, directory: &Path) -> io::Result<()> {
        let file = File::options().read(true).write(true).open(directory.join(&self.file))?;
        let mut byte = [0];
        file.read_exact_at(&mut byte, self.byte)?;
        byte[0] ^= 1 << self.bit;
        file.write_all_at(&byte, self.byte)
    }
}
