//! Compiles the contract with protox, so that nobody needs a protoc on the machine.

use std::{env, error::Error, fs, path::PathBuf};

use tonic_prost_build::Config;

const CONTRACT: [&str; 5] = [
    "records/v1/actor.proto",
    "records/v1/audit_service.proto",
    "records/v1/forms_service.proto",
    "records/v1/records_service.proto",
    "records/v1/value.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    for file in CONTRACT {
        println!("cargo::rerun-if-changed={file}");
    }

    let mut compiler = protox::Compiler::new(["."])?;
    compiler.include_imports(true).include_source_info(true).open_files(CONTRACT)?;
    let descriptors = compiler.file_descriptor_set();
    let folder = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(folder.join("descriptors.bin"), compiler.encode_file_descriptor_set())?;

    let mut config = Config::new();
    // Ordered maps, so that the same record is always the same bytes.
    config.btree_map(["."]);
    tonic_prost_build::configure().compile_fds_with_config(descriptors, config)?;
    Ok(())
}
