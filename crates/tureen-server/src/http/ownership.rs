//! Owners and permissions of files that must be private.

use std::{fs, io, path::Path};

/// Creates a directory for this user only, with its parents, or checks an existing one: its owner must be this user or
/// root, and nobody else may write to it. The error names the fault.
pub(crate) fn private_directory(path: &Path) -> Result<(), Problem> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)?;
    // The target of another user's link can change after the check.
    check_owner(&fs::symlink_metadata(path)?)?;
    let metadata = fs::metadata(path)?;
    if !metadata.is_dir() {
        return Err(Problem::Unsafe("is no directory".to_owned()));
    }
    check_owner(&metadata)?;
    check_writers(&metadata)
}

/// Checks an open file that only its owner may read; the owner must be this user or root.
pub(crate) fn secret_file(metadata: &fs::Metadata) -> Result<(), Problem> {
    if !metadata.is_file() {
        return Err(Problem::Unsafe("is no regular file".to_owned()));
    }
    check_owner(metadata)?;
    match readable_by_others(metadata, 0o077) {
        true => Err(Problem::Unsafe(format!(
            "may be read by others (mode {:03o}); it should have mode 600",
            mode(metadata)
        ))),
        false => Ok(()),
    }
}

/// True if every user of this machine may read the file.
pub(crate) fn is_public(metadata: &fs::Metadata) -> bool {
    readable_by_others(metadata, 0o004)
}

/// Reason for which a file or directory can't be used.
#[derive(Debug)]
pub(crate) enum Problem {
    Io(io::Error),
    Unsafe(String),
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

#[cfg(unix)]
fn check_owner(metadata: &fs::Metadata) -> Result<(), Problem> {
    let owner = std::os::unix::fs::MetadataExt::uid(metadata);
    let own = rustix::process::geteuid().as_raw();
    match owner == own || owner == 0 {
        true => Ok(()),
        false => Err(Problem::Unsafe(format!("belongs to user {owner}, not to this one ({own})"))),
    }
}

#[cfg(unix)]
fn check_writers(metadata: &fs::Metadata) -> Result<(), Problem> {
    // Many systems give each user a separate group, which has write permission to the user's files.
    let own_group = std::os::unix::fs::MetadataExt::gid(metadata) == rustix::process::getegid().as_raw();
    match mode(metadata) & if own_group { 0o002 } else { 0o022 } {
        0 => Ok(()),
        _ => Err(Problem::Unsafe(format!("may be written by others (mode {:03o})", mode(metadata)))),
    }
}

#[cfg(unix)]
fn mode(metadata: &fs::Metadata) -> u32 {
    std::os::unix::fs::MetadataExt::mode(metadata) & 0o777
}

#[cfg(unix)]
fn readable_by_others(metadata: &fs::Metadata, bits: u32) -> bool {
    mode(metadata) & bits != 0
}

#[cfg(not(unix))]
fn check_owner(_metadata: &fs::Metadata) -> Result<(), Problem> {
    Ok(())
}

#[cfg(not(unix))]
fn check_writers(_metadata: &fs::Metadata) -> Result<(), Problem> {
    Ok(())
}

#[cfg(not(unix))]
fn mode(_metadata: &fs::Metadata) -> u32 {
    0
}

#[cfg(not(unix))]
fn readable_by_others(_metadata: &fs::Metadata, _bits: u32) -> bool {
    false
}
