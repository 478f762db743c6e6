//! What is beside the door, health and reflection: they need no token, so anybody can ask them
//! anything, and must not get much of the process by that.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::Response,
};
use records_proto::v1::FILE_DESCRIPTOR_SET;
use tokio::sync::Semaphore;
use tonic::service::Routes;
use tonic_health::pb::health_server::{Health, HealthServer};

use super::answer::keep;
use crate::error::Error;

/// The largest question: the name of a service, a method or a file.
const MAX_QUESTION_BYTES: usize = 4 * 1024;
/// How many questions about our health there may be at a time, and how many about the contract, which
/// must not keep a probe from its answer. A question with its answer takes some 100 KiB at most.
const HEALTH_PLACES: usize = 256;
const REFLECTION_PLACES: usize = 32;

/// The paths that are beside the door.
pub(super) fn routes(health: HealthServer<impl Health>, with_reflection: bool) -> Router {
    let health = health.max_decoding_message_size(MAX_QUESTION_BYTES);
    let mut routes = limited(Routes::from(Router::new()).add_service(health), HEALTH_PLACES);
    if with_reflection {
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .build_v1()
            .expect("the descriptors were made by the build that made this program");
        let reflection = reflection.max_decoding_message_size(MAX_QUESTION_BYTES);
        let reflection = Routes::from(Router::new()).add_service(reflection);
        routes = routes.merge(limited(reflection, REFLECTION_PLACES));
    }
    routes
}

fn limited(routes: Routes, places: usize) -> Router {
    let room = Arc::new(Semaphore::new(places));
    routes.into_axum_router().layer(from_fn_with_state(room, admit))
}

/// Lets a question in. It has its place until its answer is taken, or its asker goes away.
async fn admit(State(room): State<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    let Ok(place) = room.try_acquire_owned() else {
        return Error::Full.into_status().into_http();
    };
    keep(next.run(request).await, place)
}
