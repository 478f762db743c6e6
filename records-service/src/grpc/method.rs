//! The methods of the contract by path, so that whatever a caller asks for has one of a bounded
//! number of names.

use std::collections::HashMap;

use prost::Message;
use prost_types::FileDescriptorSet;
use records_proto::v1::FILE_DESCRIPTOR_SET;

/// A method as labels name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Method {
    /// With its package.
    pub(super) service: &'static str,
    pub(super) name: &'static str,
    /// Both, as traces have it.
    pub(super) path: &'static str,
}

/// What the contract does not have.
const OTHER: Method = Method { service: "other", name: "other", path: "other" };

/// All methods of the contract. It is made once, for its names live as long as the process.
pub(super) struct Methods(HashMap<&'static str, Method>);

impl Methods {
    pub(super) fn of_contract() -> Self {
        let contract = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET)
            .expect("the descriptors were made by the build that made this program");
        let mut methods = HashMap::new();
        for file in contract.file {
            for service in &file.service {
                for method in &service.method {
                    let path: &'static str =
                        format!("{}.{}/{}", file.package(), service.name(), method.name()).leak();
                    if let Some((service, name)) = path.split_once('/') {
                        methods.insert(path, Method { service, name, path });
                    }
                }
            }
        }
        Self(methods)
    }

    /// The method with this path, which begins with a slash.
    pub(super) fn at(&self, path: &str) -> Method {
        let known = path.strip_prefix('/').and_then(|path| self.0.get(path));
        known.copied().unwrap_or(OTHER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_in_the_contract_has_one_name() {
        let methods = Methods::of_contract();

        let known = methods.at("/records.v1.RecordsService/GetRecord");

        assert_eq!((known.service, known.name), ("records.v1.RecordsService", "GetRecord"));
        for unknown in ["/records.v1.RecordsService/Get", "/records.v1.X/GetRecord", "/", "", "*"] {
            assert_eq!(methods.at(unknown), OTHER, "{unknown}");
        }
    }
}
