//! The gRPC contract of Org Records, compiled from `records/v1/*.proto`. It holds no behaviour.

/// Messages, clients and servers of the package `records.v1`.
#[expect(clippy::pedantic, reason = "generated code; the contract's own comments document it")]
pub mod v1 {
    tonic::include_proto!("records.v1");

    /// The encoded descriptors of the whole contract, for gRPC server reflection.
    pub const FILE_DESCRIPTOR_SET: &[u8] =
        include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
}
