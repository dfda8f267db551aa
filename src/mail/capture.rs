//! A folder that captures letters, for development and tests: each becomes a file that mail programs open.
//!
//! The files hold links that let their reader into an account: only their owner can read them.

use crate::{
    Envelope,
    carrier::{Blame, Carried, Carrier, NotCarried},
};
use gatehouse_base::Clock;
use gatehouse_types::Secret;
use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

/// So many letters are kept; the oldest goes for the next.
const MOST: usize = 1000;

/// Writes letters into a folder.
#[derive(Clone, Debug)]
pub struct Capture {
    folder: PathBuf,
    clock: Arc<dyn Clock>,
}

impl Capture {
    /// Captures into this folder, which is made when it is missing.
    pub fn new(folder: PathBuf, clock: Arc<dyn Clock>) -> Self {
        Self { folder, clock }
    }
}

impl Carrier for Capture {
    fn carry<'a>(&'a self, envelope: &'a Envelope, letter: &'a Secret) -> Carried<'a> {
        Box::pin(async move {
            let name = format!("{:013}-{}.eml", self.clock.now().millis(), envelope.id);
            let (folder, letter) = (self.folder.clone(), letter.clone());
            let written = tokio::task::spawn_blocking(move || write(&folder, &name, &letter)).await;
            let failed = |error: io::Error| {
                let text = format!("{} cannot be written: {error}", self.folder.display());
                NotCarried::new(Blame::Server, "capture", text)
            };
            written.map_err(io::Error::other).and_then(|written| written).map_err(failed)
        })
    }
}

fn write(folder: &Path, name: &str, letter: &Secret) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut letters: Vec<_> = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?.into_iter().map(|entry| entry.path()).collect();
    letters.retain(|path| path.extension().is_some_and(|extension| extension == "eml"));
    // Names begin with the time.
    letters.sort();
    for oldest in letters.iter().take((letters.len() + 1).saturating_sub(MOST)) {
        fs::remove_file(oldest)?;
    }
    // Whoever looks into the folder sees whole letters only.
    let unfinished = folder.join(format!("{name}.part"));
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?.write_all(letter.expose())?;
    fs::rename(unfinished, folder.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use gatehouse_base::SimulatedClock;
    use gatehouse_types::UnixTime;
    use std::{os::unix::fs::PermissionsExt, time::Duration};

    fn envelope(id: usize) -> Envelope {
        let address = |text: &str| text.parse().expect("address");
        Envelope { id: id.to_string(), from: address("gate@example.com"), to: address("ann@example.com") }
    }

    #[tokio::test]
    async fn a_letter_becomes_a_file_that_only_its_owner_reads_and_the_oldest_goes() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().join("mail");
        let clock = Arc::new(SimulatedClock::new(UnixTime::from_secs(1_800_000_000)));
        let capture = Capture::new(place.clone(), clock.clone());
        for id in 0..=MOST {
            clock.advance(Duration::from_millis(1));
            capture.carry(&envelope(id), &Secret::from(format!("letter {id}"))).await.expect("captured");
        }
        let mut letters: Vec<_> = fs::read_dir(&place).expect("the folder").map(|entry| entry.expect("an entry").path()).collect();
        letters.sort();
        assert_eq!((letters.len(), fs::read(&letters[0]).expect("a letter")), (MOST, b"letter 1".to_vec()));
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(&place), mode(&letters[0])), (0o700, 0o600));
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_written_blames_no_letter() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        fs::write(&file, "in the way").expect("written");
        let clock = Arc::new(SimulatedClock::new(UnixTime::EPOCH));
        let refused = Capture::new(file, clock).carry(&envelope(1), &Secret::from("x".to_owned())).await.expect_err("no folder");
        assert_eq!((refused.blame, refused.reason), (Blame::Server, "capture"));
    }
}
