//! What the running service says that it answers.

use std::collections::BTreeSet;

use prost::Message;
use prost_types::FileDescriptorProto;
use tonic::transport::Channel;
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

async fn ask(channel: &Channel, question: MessageRequest) -> MessageResponse {
    let request = ServerReflectionRequest { host: String::new(), message_request: Some(question) };
    let answers = ServerReflectionClient::new(channel.clone())
        .server_reflection_info(tokio_stream::once(request))
        .await;
    let answer = answers.unwrap().into_inner().message().await.unwrap().unwrap();
    answer.message_response.unwrap()
}

/// The names of all services.
pub(crate) async fn services(channel: &Channel) -> Vec<String> {
    match ask(channel, MessageRequest::ListServices(String::new())).await {
        MessageResponse::ListServicesResponse(list) => {
            list.service.into_iter().map(|service| service.name).collect()
        }
        other => panic!("{other:?}"),
    }
}

/// The paths of all methods of all services, such as `/records.v1.RecordsService/GetRecord`.
pub(crate) async fn methods(channel: &Channel) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    for service in services(channel).await {
        let question = MessageRequest::FileContainingSymbol(service.clone());
        let MessageResponse::FileDescriptorResponse(files) = ask(channel, question).await else {
            panic!("nothing about {service}")
        };
        let before = paths.len();
        for file in files.file_descriptor_proto {
            let file = FileDescriptorProto::decode(file.as_slice()).unwrap();
            for described in &file.service {
                if format!("{}.{}", file.package(), described.name()) == service {
                    let methods = described.method.iter();
                    paths.extend(methods.map(|it| format!("/{service}/{}", it.name())));
                }
            }
        }
        assert!(paths.len() > before, "{service} has no method");
    }
    paths
}
