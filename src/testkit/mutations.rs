//! `make mutations`: takes decisions about security away, one at a time, and sees whether the tests notice.
//!
//! `tests/mutations.toml` lists the changes with the test that has to fail for each. They are made in a copy of the tree, which
//! shares what is compiled of other people's crates, and what was found out is remembered until the file or the change is another: an
//! interrupted run goes on where it was. Survivors are told at the end, and the command fails.

use clap::Parser;
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet, hash_map::DefaultHasher},
    fs,
    hash::{Hash, Hasher},
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Output},
};

const LIST: &str = "tests/mutations.toml";
/// How long one build or one run of tests may take.
const PATIENCE: &str = "20m";

/// Takes security decisions away and sees whether the tests notice
#[derive(Debug, Parser)]
struct Arguments {
    /// Only those of this package
    #[arg(long)]
    package: Option<String>,
    /// Forget what earlier runs have found out
    #[arg(long)]
    anew: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    mutation: Vec<Mutation>,
}

/// One change, and the tests of its package that have to notice it.
#[derive(Debug, Deserialize, Hash)]
#[serde(deny_unknown_fields)]
struct Mutation {
    loses: String,
    file: String,
    package: String,
    suite: Option<String>,
    test: String,
    take: String,
    put: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Noticed,
    Survived,
    DoesNotBuild,
    DoesNotApply,
    FailsAnyway,
}

impl Verdict {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Noticed, "noticed"),
        (Self::Survived, "SURVIVED"),
        (Self::DoesNotBuild, "does not build"),
        (Self::DoesNotApply, "does not apply"),
        (Self::FailsAnyway, "fails anyway"),
    ];

    fn word(self) -> &'static str {
        Self::ALL.iter().find(|(verdict, _)| *verdict == self).map_or("", |(_, word)| word)
    }
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(io::stderr(), "mutations: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> io::Result<usize> {
    let list: List = toml::from_str(&fs::read_to_string(LIST)?).map_err(io::Error::other)?;
    let mut wanted = list.mutation;
    wanted.retain(|mutation| arguments.package.as_ref().is_none_or(|package| *package == mutation.package));
    // One package after the other: each change is then a small build.
    wanted.sort_by(|a, b| a.package.cmp(&b.package));
    let copy = Copy::make(Path::new("target/mutations"))?;
    let mut known = Known::open(Path::new("target/mutations/known"), arguments.anew)?;
    let mut sound = BTreeMap::new();
    let mut out = io::stdout();
    let mut survivors = Vec::new();
    for mutation in &wanted {
        let key = copy.key(mutation)?;
        let verdict = match known.0.get(&key) {
            Some(verdict) => *verdict,
            None => {
                let tests = (mutation.package.clone(), mutation.suite.clone(), mutation.test.clone());
                let is_sound = match sound.get(&tests) {
                    Some(is_sound) => *is_sound,
                    None => *sound.entry(tests).or_insert(copy.passes(mutation)?),
                };
                let verdict = if is_sound { copy.judge(mutation)? } else { Verdict::FailsAnyway };
                known.learn(key, verdict)?;
                verdict
            }
        };
        writeln!(out, "{:<14} {:<20} {}", verdict.word(), mutation.package, mutation.loses)?;
        out.flush()?;
        if verdict != Verdict::Noticed {
            survivors.push(mutation);
        }
    }
    writeln!(out, "{} of {} were noticed", wanted.len() - survivors.len(), wanted.len())?;
    for survivor in &survivors {
        writeln!(out, "NOT NOTICED: {} ({}, by `{}`)", survivor.loses, survivor.file, survivor.test)?;
    }
    Ok(survivors.len())
}

/// What earlier runs have found out, a line each.
struct Known(BTreeMap<u64, Verdict>, fs::File);

impl Known {
    fn open(path: &Path, anew: bool) -> io::Result<Self> {
        if anew {
            let _ = fs::remove_file(path);
        }
        let text = fs::read_to_string(path).unwrap_or_default();
        let verdict = |line: &str| {
            let (key, word) = line.split_once(' ')?;
            let verdict = Verdict::ALL.iter().find(|(_, known)| *known == word)?.0;
            // Only what needs no new test is remembered: a survivor is asked again.
            (verdict == Verdict::Noticed).then_some((key.parse().ok()?, verdict))
        };
        let known = text.lines().filter_map(verdict).collect();
        Ok(Self(known, fs::OpenOptions::new().create(true).append(true).open(path)?))
    }

    fn learn(&mut self, key: u64, verdict: Verdict) -> io::Result<()> {
        self.0.insert(key, verdict);
        writeln!(self.1, "{key} {}", verdict.word())
    }
}

/// The copy of the tree in which changes are made.
struct Copy {
    tree: PathBuf,
    built: PathBuf,
}

impl Copy {
    fn make(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let folder = folder.canonicalize()?;
        let (tree, built) = (folder.join("tree"), folder.join("built"));
        let files = output(Command::new("git").args(["ls-files", "--cached", "--others", "--exclude-standard"]))?;
        let mut present = BTreeSet::new();
        for file in String::from_utf8_lossy(&files.stdout).lines().filter(|file| Path::new(file).is_file()) {
            let (from, to) = (Path::new(file), tree.join(file));
            present.insert(to.clone());
            let new = fs::read(from)?;
            // What has not changed keeps its time, and is not built again.
            if fs::read(&to).ok().as_ref() != Some(&new) {
                fs::create_dir_all(to.parent().unwrap_or(&tree))?;
                fs::write(&to, new)?;
            }
        }
        remove_others(&tree, &present)?;
        if !built.exists() && Path::new("target/debug").exists() {
            // Hard links: other people's crates are not compiled again. Ours lie elsewhere and are.
            fs::create_dir_all(&built)?;
            output(Command::new("cp").args(["-al", "target/debug"]).arg(&built))?;
        }
        Ok(Self { tree, built })
    }

    /// Changes when the change or the file is another one.
    fn key(&self, mutation: &Mutation) -> io::Result<u64> {
        let mut hasher = DefaultHasher::new();
        mutation.hash(&mut hasher);
        fs::read(self.tree.join(&mutation.file))?.hash(&mut hasher);
        Ok(hasher.finish())
    }

    /// A test that fails by itself, or that is not there, would notice everything.
    fn passes(&self, mutation: &Mutation) -> io::Result<bool> {
        let output = self.test(mutation, false)?;
        let told = String::from_utf8_lossy(&output.stdout);
        let ran =
            told.lines().filter_map(|line| line.strip_prefix("test result: ok. ")?.split(' ').next()?.parse::<usize>().ok()).sum::<usize>();
        let good = output.status.success() && ran > 0;
        if !good {
            let what = format!("`{}` of {} has to pass without a change and runs {ran} tests", mutation.test, mutation.package);
            writeln!(io::stderr(), "{what}\n{told}{}", String::from_utf8_lossy(&output.stderr))?;
        }
        Ok(good)
    }

    fn judge(&self, mutation: &Mutation) -> io::Result<Verdict> {
        let path = self.tree.join(&mutation.file);
        let before = fs::read_to_string(&path)?;
        if before.matches(&mutation.take).count() != 1 {
            return Ok(Verdict::DoesNotApply);
        }
        fs::write(&path, before.replace(&mutation.take, &mutation.put))?;
        let verdict = self.verdict(mutation);
        fs::write(&path, before)?;
        verdict
    }

    fn verdict(&self, mutation: &Mutation) -> io::Result<Verdict> {
        if !self.test(mutation, true)?.status.success() {
            return Ok(Verdict::DoesNotBuild);
        }
        Ok(if self.test(mutation, false)?.status.success() { Verdict::Survived } else { Verdict::Noticed })
    }

    fn test(&self, mutation: &Mutation, only_build: bool) -> io::Result<Output> {
        // A test that waits for ever on what is not there any more has noticed it as well.
        let mut cargo = Command::new("timeout");
        cargo.args(["--kill-after=10s", PATIENCE, "cargo", "test", "--quiet", "--package", &mutation.package]);
        match &mutation.suite {
            Some(suite) => cargo.args(["--test", suite]),
            None => cargo.arg("--lib"),
        };
        // Nobody looks at where a mutant has stopped, and without that it is made in less time.
        cargo.current_dir(&self.tree).env("CARGO_TARGET_DIR", &self.built).env("CARGO_PROFILE_DEV_DEBUG", "0");
        if only_build {
            cargo.arg("--no-run");
        } else {
            cargo.args(["--", &mutation.test]);
        }
        cargo.output()
    }
}

fn remove_others(folder: &Path, present: &BTreeSet<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            remove_others(&path, present)?;
        } else if !present.contains(&path) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

fn output(command: &mut Command) -> io::Result<Output> {
    let output = command.output()?;
    if output.status.success() { Ok(output) } else { Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned())) }
}
