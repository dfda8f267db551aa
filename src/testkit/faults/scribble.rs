//! A program that writes in every way the recorder has to understand, to test the recorder itself.

use super::seed::Chance;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, IoSlice, Write},
    os::unix::fs::FileExt,
    path::Path,
};

/// Files per thread.
const FILES: u64 = 4;

/// Creates, writes, cuts, renames, links, synchronises and removes below `directory`, from several threads at once,
/// each in its own folder.
pub fn scribble(directory: &Path, seed: u64, threads: u64, steps: u64) -> io::Result<()> {
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|thread| scope.spawn(move || worker(directory, seed, thread, steps))).collect();
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| io::Error::other("a thread panicked"))?)
    })
}

fn worker(directory: &Path, seed: u64, thread: u64, steps: u64) -> io::Result<()> {
    let mut chance = Chance::of(seed, &[thread]);
    let folder = directory.join(format!("thread-{thread}"));
    fs::create_dir(&folder)?;
    for _ in 0..steps {
        let path = folder.join(format!("file-{}", chance.below(FILES)));
        let other = folder.join(format!("file-{}", chance.below(FILES)));
        let length = 1 + chance.index(9000);
        let content = chance.bytes(length);
        match chance.below(12) {
            0 => File::create(&path)?.write_all(&content)?,
            1 => {
                let mut file = OpenOptions::new().append(true).create(true).open(&path)?;
                file.write_all(&content)?;
                file.sync_data()?;
            }
            2 | 3 => {
                let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path)?;
                file.write_all_at(&content, chance.below(20_000))?;
                // A duplicated descriptor leads to the same file.
                file.try_clone()?.write_all_at(&content[..content.len() / 2], chance.below(20_000))?;
            }
            4 => {
                let mut file = OpenOptions::new().append(true).create(true).open(&path)?;
                let _written = file.write_vectored(&[IoSlice::new(&content), IoSlice::new(&content[..1])])?;
            }
            5 => {
                let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path)?;
                file.set_len(chance.below(20_000))?;
            }
            6 => File::open(&folder)?.sync_all()?,
            7 if path.exists() => fs::rename(&path, &other)?,
            8 if path.exists() => fs::remove_file(&path)?,
            9 if path.exists() && !other.exists() => fs::hard_link(&path, &other)?,
            10 => {
                let mut file = tempfile::NamedTempFile::new_in(&folder)?;
                file.write_all(&content)?;
                file.as_file().sync_all()?;
                file.persist(&path)?;
            }
            11 => {
                // Inode numbers are used again: what was a file a moment ago is a folder now.
                let inner = folder.join("inner");
                fs::create_dir(&inner)?;
                File::open(&inner)?.sync_all()?;
                File::create(inner.join("file"))?.write_all(&content)?;
                if chance.percent(50) {
                    fs::rename(&inner, folder.join("moved"))?;
                    fs::remove_dir_all(folder.join("moved"))?;
                } else {
                    fs::remove_dir_all(&inner)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}
