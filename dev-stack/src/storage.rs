//! Where an emulator keeps its state, and how files are written so that a crash leaves either the
//! old or the new content.

use std::{
    fs, io,
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use crate::Error;

/// Where an emulator keeps its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Storage {
    /// In memory: lost when the emulator's value is dropped.
    Memory,
    /// In this folder, which is made where it is missing.
    Folder(PathBuf),
}

impl Storage {
    /// The folder under this one, or memory.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        match self {
            Self::Memory => Self::Memory,
            Self::Folder(path) => Self::Folder(path.join(name)),
        }
    }

    /// The path of a file in the folder, which exists afterwards; `None` for memory.
    pub(crate) fn file(&self, name: &str) -> Result<Option<PathBuf>, Error> {
        let Self::Folder(folder) = self else { return Ok(None) };
        make_private_folder(folder)?;
        Ok(Some(folder.join(name)))
    }
}

/// Keeps other processes from using the same folder, for as long as the file is held.
pub(crate) fn lock(storage: &Storage) -> Result<Option<fs::File>, Error> {
    let Some(path) = storage.file("lock")? else { return Ok(None) };
    let failed = |source| Error::Storage { path: path.clone(), source };
    let file = fs::File::create(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(fs::TryLockError::WouldBlock) => Err(Error::InUse { path }),
        Err(fs::TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// Makes the folder where it is missing, with all its parents, readable by its owner alone.
pub(crate) fn make_private_folder(folder: &Path) -> Result<(), Error> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|source| Error::Storage { path: folder.to_owned(), source })
}

/// The content of the file, or `None` where there is none.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Storage { path: path.to_owned(), source }),
    }
}

/// Replaces the file with `content`, readable by its owner alone.
pub(crate) fn write(path: &Path, content: &[u8]) -> Result<(), Error> {
    let storage = |source| Error::Storage { path: path.to_owned(), source };
    let draft = path.with_extension("new");
    let mut file = create(&draft).map_err(storage)?;
    file.write_all(content).map_err(storage)?;
    drop(file);
    fs::rename(&draft, path).map_err(storage)
}

/// An empty file in place of what is there, readable by its owner alone.
pub(crate) fn create(path: &Path) -> io::Result<fs::File> {
    fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}
