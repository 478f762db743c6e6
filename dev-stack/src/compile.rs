//! Builds the services before they are started, with the Cargo and the profile that built this
//! program.

use std::{path::Path, process::Command};

use dev_stack::Error;

/// Builds what is needed, where Cargo runs us; elsewhere the binaries have to be there already.
///
/// All packages are named, ours too, because Cargo unites the features of dependencies over the
/// packages it is told of: this way everything is shared with `cargo build --workspace`, and a
/// selection of packages would have its own copy of half of them.
pub(crate) fn services(binaries: &Path) -> Result<(), Error> {
    let (Some(cargo), Some(package)) =
        (std::env::var_os("CARGO"), std::env::var_os("CARGO_MANIFEST_DIR"))
    else {
        return Ok(());
    };
    let folder = binaries.file_name().unwrap_or_default().to_string_lossy();
    // Cargo keeps the profile `dev` in a folder of another name.
    let profile = if folder == "debug" { "dev" } else { &*folder };
    let mut command = Command::new(cargo);
    command
        .args(["build", "--workspace", "--bins", "--profile", profile])
        .current_dir(&package)
        // These are about us, not about what we build.
        .env_remove("CARGO_MANIFEST_DIR")
        .env_remove("CARGO_PKG_NAME");
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Error::Build(status.to_string())),
        Err(error) => Err(Error::Build(error.to_string())),
    }
}
