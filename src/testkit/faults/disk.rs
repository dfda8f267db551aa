//! A disk that can lose its power: replays a recorded log and says what the platter could hold at any moment.
//!
//! What the model promises, and what it does not:
//!
//! * A file's content and length are durable up to the *start* of its last successful fsync or fdatasync.
//!   `sync_file_range` and `msync` promise nothing.
//! * What was written later may be there, whole or in part: the page cache is written back page by page, in any
//!   order, each page as it was at some moment, and a page may tear between two moments at 512-byte sectors.
//!   The length may be any that the file had since.
//! * Names (create, rename, unlink, mkdir, link) follow ext4: they become durable in the order in which they
//!   happened, and at the latest when a directory is synchronised. Synchronising a *file* does not make its name
//!   durable here, although ext4 happens to do that: POSIX does not promise it. [`Names::OfTheirFolder`] goes further
//!   and holds a program to POSIX alone: synchronising a directory keeps its own names and no others.
//! * A synchronisation that fails drops the dirty pages, as Linux does: the page cache still shows them, but they
//!   count as written. Only a later write to the same page takes them to the disk.

use super::{log::Operation, seed::Chance};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

const PAGE: usize = 4096;
const SECTOR: usize = 512;
const ZEROS: [u8; PAGE] = [0; PAGE];

type Page = Arc<[u8; PAGE]>;

/// How much of what was not synchronised reaches the platter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Loss {
    /// Nothing: the strictest reading of every promise.
    Everything,
    /// All of it: as after a killed process.
    Nothing,
    /// A prefix in the order of writing, its last write torn.
    Tail,
    /// Each page on its own, as it was at a random moment.
    Pages,
    /// As `Pages`, and each sector of a page on its own.
    Sectors,
}

impl Loss {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Everything, Self::Nothing, Self::Tail, Self::Pages, Self::Sectors];
}

/// Which names the synchronisation of a directory makes durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// All that came before, as on ext4.
    InOrder,
    /// Its own, as POSIX promises. A file whose folder has no durable name is lost with it.
    OfTheirFolder,
}

/// The state of the watched directory, on the platter and in the page cache.
pub struct Disk {
    now: u64,
    names: Names,
    folders: BTreeMap<u64, PathBuf>,
    nodes: BTreeMap<NodeId, Node>,
    numbers: BTreeMap<u64, NodeId>,
    cached_names: Tree,
    durable_names: Tree,
    pending_names: Vec<(u64, NameChange)>,
    syncs: BTreeMap<u64, (u64, Synchronised)>,
}

/// What a synchronisation is of.
enum Synchronised {
    File(NodeId),
    Folder(Option<PathBuf>),
}

type NodeId = usize;

#[derive(Clone, Default)]
struct Tree {
    files: BTreeMap<PathBuf, NodeId>,
    directories: BTreeSet<PathBuf>,
}

#[derive(Clone)]
enum NameChange {
    Create(PathBuf, NodeId),
    Rename(PathBuf, PathBuf),
    Unlink(PathBuf),
    MakeDirectory(PathBuf),
    RemoveDirectory(PathBuf),
    Link(PathBuf, PathBuf),
}

#[derive(Default)]
struct Node {
    durable: Image,
    cached: Image,
    /// Pages and lengths since the last successful synchronisation, each with the moment it came to be.
    pages: Vec<(u64, u64, Page)>,
    lengths: Vec<(u64, u64)>,
}

#[derive(Clone, Default)]
struct Image {
    length: u64,
    pages: BTreeMap<u64, Page>,
}

impl Disk {
    /// A disk on which `directory` is as it is now, all of it durable.
    pub fn holding(directory: &Path) -> io::Result<Self> {
        let mut disk = Self {
            now: 0,
            names: Names::InOrder,
            folders: BTreeMap::new(),
            nodes: BTreeMap::new(),
            numbers: BTreeMap::new(),
            cached_names: Tree::default(),
            durable_names: Tree::default(),
            pending_names: Vec::new(),
            syncs: BTreeMap::new(),
        };
        disk.load(directory, Path::new(""))?;
        disk.cached_names = disk.durable_names.clone();
        Ok(disk)
    }

    /// The same disk under another promise about names.
    #[must_use]
    pub fn keeping(mut self, names: Names) -> Self {
        self.names = names;
        self
    }

    fn load(&mut self, root: &Path, relative: &Path) -> io::Result<()> {
        for entry in std::fs::read_dir(root.join(relative))? {
            let entry = entry?;
            let path = relative.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                self.durable_names.directories.insert(path.clone());
                self.load(root, &path)?;
            } else {
                let image = Image::read(&entry.path())?;
                let node = self.add(Node { durable: image.clone(), cached: image, ..Node::default() });
                self.durable_names.files.insert(path, node);
            }
        }
        Ok(())
    }

    fn add(&mut self, node: Node) -> NodeId {
        let id = self.nodes.len();
        self.nodes.insert(id, node);
        id
    }

    /// Lets the next operation of the log happen.
    pub fn apply(&mut self, operation: &Operation) {
        self.now += 1;
        match operation {
            Operation::Open { file, created: true, path } => {
                let node = self.add(Node::default());
                self.numbers.insert(*file, node);
                self.name(NameChange::Create(path.clone(), node));
            }
            Operation::Open { file, created: false, path } => {
                // Already known by number, unless it was there before the recording began.
                if let Some(node) = self.cached_names.files.get(path) {
                    self.numbers.entry(*file).or_insert(*node);
                } else {
                    self.folders.insert(*file, path.clone());
                }
            }
            Operation::Write { file, offset, data } => {
                let now = self.now;
                if let Some(node) = self.node(*file) {
                    node.write(now, *offset, data);
                }
            }
            Operation::Truncate { file, length } => {
                let now = self.now;
                if let Some(node) = self.node(*file) {
                    node.truncate(now, *length);
                }
            }
            Operation::SyncBegin { call, file } => {
                let folder = || Synchronised::Folder(self.folders.get(file).cloned());
                let what = self.numbers.get(file).map_or_else(folder, |node| Synchronised::File(*node));
                self.syncs.insert(*call, (self.now, what));
            }
            Operation::SyncEnd { call, succeeded } => {
                if let Some((begun, what)) = self.syncs.remove(call) {
                    self.synchronised(begun, &what, *succeeded);
                }
            }
            Operation::Rename { from, to } => self.name(NameChange::Rename(from.clone(), to.clone())),
            Operation::Unlink { path } => self.name(NameChange::Unlink(path.clone())),
            Operation::MakeDirectory { path } => self.name(NameChange::MakeDirectory(path.clone())),
            Operation::RemoveDirectory { path } => self.name(NameChange::RemoveDirectory(path.clone())),
            Operation::Link { from, to } => self.name(NameChange::Link(from.clone(), to.clone())),
            Operation::Mark { .. } | Operation::WeakSync { .. } | Operation::Unsupported { .. } | Operation::Injected { .. } => {}
        }
    }

    fn node(&mut self, file: u64) -> Option<&mut Node> {
        self.nodes.get_mut(self.numbers.get(&file)?)
    }

    fn name(&mut self, change: NameChange) {
        self.cached_names.apply(&change);
        self.pending_names.push((self.now, change));
    }

    fn synchronised(&mut self, begun: u64, what: &Synchronised, succeeded: bool) {
        match what {
            Synchronised::File(node) => {
                if let Some(node) = self.nodes.get_mut(node) {
                    node.synchronised(begun, succeeded);
                }
            }
            Synchronised::Folder(folder) if succeeded => {
                let kept = self.pending_names.partition_point(|(at, _)| *at < begun);
                let later = self.pending_names.split_off(kept);
                for (at, change) in std::mem::take(&mut self.pending_names) {
                    match self.names {
                        Names::OfTheirFolder if folder.as_deref() != change.folder() => self.pending_names.push((at, change)),
                        _ => self.durable_names.apply(&change),
                    }
                }
                self.pending_names.extend(later);
            }
            Synchronised::Folder(_) => {}
        }
    }

    /// Writes into the empty directory `target` what the platter holds when the power goes now.
    pub fn cut(&self, loss: Loss, chance: &mut Chance, target: &Path) -> io::Result<()> {
        let moment = self.moment(loss, chance);
        let mut names = self.durable_names.clone();
        for (_, change) in self.pending_names.iter().take_while(|(at, _)| *at <= moment) {
            names.apply(change);
        }
        let mut written: BTreeMap<NodeId, PathBuf> = BTreeMap::new();
        for directory in names.directories.iter().filter(|path| names.reaches(path)) {
            std::fs::create_dir_all(target.join(directory))?;
        }
        for (path, id) in names.files.iter().filter(|(path, _)| names.reaches(path)) {
            let path = target.join(path);
            if let Some(first) = written.get(id) {
                std::fs::hard_link(first, &path)?;
                continue;
            }
            self.nodes[id].survivor(loss, moment, chance).write(&path)?;
            written.insert(*id, path);
        }
        Ok(())
    }

    /// The last moment whose names survive, and for `Loss::Tail` whose writes survive too.
    fn moment(&self, loss: Loss, chance: &mut Chance) -> u64 {
        match loss {
            Loss::Everything => 0,
            Loss::Nothing => self.now,
            Loss::Tail => {
                let writes = self.nodes.values().flat_map(|node| node.pages.iter().map(|(at, ..)| *at));
                let mut moments: Vec<u64> = writes.chain(self.pending_names.iter().map(|(at, _)| *at)).collect();
                moments.sort_unstable();
                moments.dedup();
                if moments.is_empty() { self.now } else { moments[chance.index(moments.len())] }
            }
            Loss::Pages | Loss::Sectors => match chance.index(self.pending_names.len() + 1) {
                0 => 0,
                kept => self.pending_names[kept - 1].0,
            },
        }
    }

    /// Whether the page cache agrees with the real directory. A difference means that the recorder missed a call.
    pub fn matches(&self, directory: &Path) -> Result<(), String> {
        let real = Self::holding(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
        if real.cached_names.directories != self.cached_names.directories {
            return Err("the directories differ".into());
        }
        let names = |disk: &Self| disk.cached_names.files.keys().cloned().collect::<Vec<_>>();
        if names(&real) != names(self) {
            return Err(format!("the files differ: {:?} replayed, {:?} real", names(self), names(&real)));
        }
        for (path, id) in &self.cached_names.files {
            let (mine, theirs) = (&self.nodes[id].cached, &real.nodes[&real.cached_names.files[path]].cached);
            if mine.length != theirs.length || !mine.same_pages(theirs) {
                return Err(format!("{} differs: {} bytes replayed, {} real", path.display(), mine.length, theirs.length));
            }
        }
        Ok(())
    }
}

impl NameChange {
    /// The folder whose names it changes.
    fn folder(&self) -> Option<&Path> {
        match self {
            Self::Create(path, _) | Self::Unlink(path) | Self::MakeDirectory(path) | Self::RemoveDirectory(path) => path.parent(),
            Self::Rename(_, to) | Self::Link(_, to) => to.parent(),
        }
    }
}

impl Tree {
    fn apply(&mut self, change: &NameChange) {
        match change {
            NameChange::Create(path, node) => drop(self.files.insert(path.clone(), *node)),
            NameChange::Rename(from, to) => {
                if let Some(node) = self.files.remove(from) {
                    self.files.insert(to.clone(), node);
                } else {
                    self.move_directory(from, to);
                }
            }
            NameChange::Unlink(path) => drop(self.files.remove(path)),
            NameChange::MakeDirectory(path) => drop(self.directories.insert(path.clone())),
            NameChange::RemoveDirectory(path) => drop(self.directories.remove(path)),
            NameChange::Link(from, to) => {
                if let Some(node) = self.files.get(from).copied() {
                    self.files.insert(to.clone(), node);
                }
            }
        }
    }

    /// Whether every folder above has a name.
    fn reaches(&self, path: &Path) -> bool {
        path.ancestors().skip(1).all(|above| above.as_os_str().is_empty() || self.directories.contains(above))
    }

    fn move_directory(&mut self, from: &Path, to: &Path) {
        let moved = |path: &PathBuf| match path.strip_prefix(from) {
            Ok(rest) if rest.as_os_str().is_empty() => to.to_path_buf(),
            Ok(rest) => to.join(rest),
            Err(_) => path.clone(),
        };
        self.directories = self.directories.iter().map(moved).collect();
        self.files = self.files.iter().map(|(path, node)| (moved(path), *node)).collect();
    }
}

impl Node {
    fn write(&mut self, now: u64, offset: u64, data: &[u8]) {
        let mut offset = offset;
        let mut rest = data;
        while !rest.is_empty() {
            let (number, start) = (offset / PAGE as u64, (offset % PAGE as u64) as usize);
            let (part, later) = rest.split_at(rest.len().min(PAGE - start));
            let mut page = self.cached.page(number);
            page[start..start + part.len()].copy_from_slice(part);
            self.change(now, number, page);
            offset += part.len() as u64;
            rest = later;
        }
        if offset > self.cached.length {
            self.set_length(now, offset);
        }
    }

    fn truncate(&mut self, now: u64, length: u64) {
        if length < self.cached.length {
            let (last, start) = (length / PAGE as u64, (length % PAGE as u64) as usize);
            let gone: Vec<u64> = self.cached.pages.range(last..).map(|(number, _)| *number).collect();
            for number in gone {
                let mut page = self.cached.page(number);
                page[if number == last { start } else { 0 }..].fill(0);
                self.change(now, number, page);
            }
        }
        self.set_length(now, length);
    }

    fn change(&mut self, now: u64, number: u64, page: [u8; PAGE]) {
        let page = Arc::new(page);
        self.cached.pages.insert(number, Arc::clone(&page));
        self.pages.push((now, number, page));
    }

    fn set_length(&mut self, now: u64, length: u64) {
        self.cached.length = length;
        self.lengths.push((now, length));
    }

    fn synchronised(&mut self, begun: u64, succeeded: bool) {
        let pages = self.pages.partition_point(|(at, ..)| *at < begun);
        let lengths = self.lengths.partition_point(|(at, _)| *at < begun);
        for (_, number, page) in self.pages.drain(..pages) {
            if succeeded {
                self.durable.pages.insert(number, page);
            }
        }
        for (_, length) in self.lengths.drain(..lengths) {
            // Metadata goes through the file system's journal and is not lost with the data.
            self.durable.length = length;
        }
    }

    fn survivor(&self, loss: Loss, moment: u64, chance: &mut Chance) -> Image {
        match loss {
            Loss::Everything => self.durable.clone(),
            Loss::Nothing => self.until(u64::MAX),
            Loss::Tail => {
                let mut image = self.until(moment.saturating_sub(1));
                let torn: Vec<_> = self.pages.iter().filter(|(at, ..)| *at == moment).collect();
                let sectors = PAGE / SECTOR;
                let kept = chance.index(torn.len() * sectors + 1);
                for (index, (_, number, page)) in torn.into_iter().enumerate() {
                    let mut mixed = image.page(*number);
                    let bytes = kept.saturating_sub(index * sectors).min(sectors) * SECTOR;
                    mixed[..bytes].copy_from_slice(&page[..bytes]);
                    image.pages.insert(*number, Arc::new(mixed));
                }
                if let Some((_, length)) = self.lengths.iter().rfind(|(at, _)| *at <= moment) {
                    image.length = *length;
                }
                image
            }
            Loss::Pages | Loss::Sectors => self.mixture(loss == Loss::Sectors, chance),
        }
    }

    fn until(&self, moment: u64) -> Image {
        let mut image = self.durable.clone();
        for (_, number, page) in self.pages.iter().take_while(|(at, ..)| *at <= moment) {
            image.pages.insert(*number, Arc::clone(page));
        }
        if let Some((_, length)) = self.lengths.iter().rfind(|(at, _)| *at <= moment) {
            image.length = *length;
        }
        image
    }

    fn mixture(&self, tear: bool, chance: &mut Chance) -> Image {
        let mut image = self.durable.clone();
        let mut versions: BTreeMap<u64, Vec<Page>> = BTreeMap::new();
        for (_, number, page) in &self.pages {
            versions.entry(*number).or_insert_with(|| vec![Arc::new(image.page(*number))]).push(Arc::clone(page));
        }
        for (number, versions) in versions {
            let mut page = *versions[chance.index(versions.len())];
            if tear && chance.percent(50) {
                for sector in 0..PAGE / SECTOR {
                    let range = sector * SECTOR..(sector + 1) * SECTOR;
                    page[range.clone()].copy_from_slice(&versions[chance.index(versions.len())][range]);
                }
            }
            image.pages.insert(number, Arc::new(page));
        }
        match chance.index(self.lengths.len() + 1) {
            0 => {}
            kept => image.length = self.lengths[kept - 1].1,
        }
        image
    }
}

impl Image {
    fn page(&self, number: u64) -> [u8; PAGE] {
        self.pages.get(&number).map_or([0; PAGE], |page| **page)
    }

    fn read(path: &Path) -> io::Result<Self> {
        let content = std::fs::read(path)?;
        let mut image = Self { length: content.len() as u64, pages: BTreeMap::new() };
        for (number, part) in content.chunks(PAGE).enumerate() {
            if *part != ZEROS[..part.len()] {
                let mut page = [0; PAGE];
                page[..part.len()].copy_from_slice(part);
                image.pages.insert(number as u64, Arc::new(page));
            }
        }
        Ok(image)
    }

    /// Writes the image as a file with holes where it holds nothing.
    fn write(&self, path: &Path) -> io::Result<()> {
        let file = File::create(path)?;
        for (number, page) in &self.pages {
            let start = number * PAGE as u64;
            if start >= self.length || **page == ZEROS {
                continue;
            }
            let length = (self.length - start).min(PAGE as u64) as usize;
            file.write_all_at(&page[..length], start)?;
        }
        file.set_len(self.length)
    }

    fn same_pages(&self, other: &Self) -> bool {
        self.pages.keys().chain(other.pages.keys()).all(|number| self.page(*number) == other.page(*number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const FILE: u64 = 2;

    fn open() -> Vec<Operation> {
        vec![
            Operation::Open { file: FILE, created: true, path: "file".into() },
            Operation::Open { file: 1, created: false, path: "".into() },
            Operation::SyncBegin { call: 1, file: 1 },
            Operation::SyncEnd { call: 1, succeeded: true },
        ]
    }

    fn write(offset: u64, data: &[u8]) -> Operation {
        Operation::Write { file: FILE, offset, data: data.to_vec() }
    }

    fn sync(call: u64, succeeded: bool) -> [Operation; 2] {
        [Operation::SyncBegin { call, file: FILE }, Operation::SyncEnd { call, succeeded }]
    }

    /// What `file` holds after a cut; `None` when it has no name.
    fn after(operations: impl IntoIterator<Item = Operation>, loss: Loss, seed: u64) -> Option<Vec<u8>> {
        let (empty, target) = (tempfile::tempdir().expect("directory"), tempfile::tempdir().expect("directory"));
        let mut disk = Disk::holding(empty.path()).expect("empty");
        operations.into_iter().for_each(|operation| disk.apply(&operation));
        disk.cut(loss, &mut Chance::new(seed), target.path()).expect("cut");
        fs::read(target.path().join("file")).ok()
    }

    #[test]
    fn what_was_synchronised_survives_every_loss() {
        for loss in Loss::ALL {
            for seed in 0..20 {
                let operations = open().into_iter().chain([write(0, b"kept")]).chain(sync(2, true)).chain([write(9000, b"later")]);
                let left = after(operations, loss, seed).expect("its name was synchronised");
                assert_eq!(left[..4], *b"kept", "{loss:?} {seed}");
            }
        }
    }

    #[test]
    fn what_was_not_synchronised_may_be_gone_and_a_weak_sync_does_not_count() {
        let operations = || open().into_iter().chain([write(0, b"hope"), Operation::WeakSync { file: FILE }]);
        assert_eq!(after(operations(), Loss::Everything, 0), Some(Vec::new()));
        assert_eq!(after(operations(), Loss::Nothing, 0), Some(b"hope".to_vec()));
    }

    #[test]
    fn a_write_during_a_synchronisation_is_not_covered_by_it() {
        let [begin, end] = sync(2, true);
        let operations = open().into_iter().chain([write(0, b"before"), begin, write(0, b"during"), end]);
        assert_eq!(after(operations, Loss::Everything, 0), Some(b"before".to_vec()));
    }

    #[test]
    fn a_failed_synchronisation_drops_the_pages_for_good() {
        let lost = open().into_iter().chain([write(0, &[7; PAGE])]).chain(sync(2, false)).chain(sync(3, true));
        assert_eq!(after(lost, Loss::Nothing, 0), Some(vec![0; PAGE]));
    }

    #[test]
    fn a_new_name_is_durable_when_its_directory_was_synchronised() {
        let nameless = [open().remove(0), write(0, b"x")].into_iter().chain(sync(2, true));
        assert_eq!(after(nameless, Loss::Everything, 0), None);
        assert_eq!(after(open(), Loss::Everything, 0), Some(Vec::new()));
    }

    #[test]
    fn held_to_posix_a_folder_keeps_its_own_names_and_is_lost_without_one() {
        let synced = |folder: &str, call| {
            let open = Operation::Open { file: call, created: false, path: folder.into() };
            [open, Operation::SyncBegin { call, file: call }, Operation::SyncEnd { call, succeeded: true }]
        };
        let made = || {
            let inside = Operation::Open { file: FILE, created: true, path: "folder/file".into() };
            [Operation::MakeDirectory { path: "folder".into() }, inside, write(0, b"x")].into_iter().chain(sync(2, true))
        };
        let left = |operations: Vec<Operation>, names| {
            let (empty, target) = (tempfile::tempdir().expect("directory"), tempfile::tempdir().expect("directory"));
            let mut disk = Disk::holding(empty.path()).expect("empty").keeping(names);
            operations.iter().for_each(|operation| disk.apply(operation));
            disk.cut(Loss::Everything, &mut Chance::new(0), target.path()).expect("cut");
            (target.path().join("folder").exists(), fs::read(target.path().join("folder/file")).ok())
        };
        let whole = (true, Some(b"x".to_vec()));
        let inner: Vec<_> = made().chain(synced("folder", 7)).collect();
        assert_eq!(left(inner.clone(), Names::InOrder), whole);
        assert_eq!(left(inner.clone(), Names::OfTheirFolder), (false, None));
        assert_eq!(left(made().chain(synced("", 8)).collect(), Names::OfTheirFolder), (true, None));
        assert_eq!(left(inner.into_iter().chain(synced("", 8)).collect(), Names::OfTheirFolder), whole);
    }

    #[test]
    fn a_page_tears_between_sectors_only() {
        let mut torn = 0;
        for seed in 0..200 {
            let operations = open().into_iter().chain([write(0, &[1; PAGE])]).chain(sync(2, true)).chain([write(0, &[2; PAGE])]);
            let left = after(operations, Loss::Sectors, seed).expect("its name was synchronised");
            let sectors: Vec<u8> = left.chunks(SECTOR).map(|sector| sector[0]).collect();
            assert!(left.chunks(SECTOR).all(|sector| sector.iter().all(|byte| *byte == sector[0])), "{seed}");
            torn += usize::from(sectors.contains(&1) && sectors.contains(&2));
        }
        assert!(torn > 20, "{torn} of 200 are torn");
    }
}
