//! Starting and stopping while something outside does not answer.

use std::time::{Duration, Instant};

use dev_stack::{Fault, FaultProxy, Service, Stack, StackOptions};
use futures_util::future::join_all;
use uuid::Uuid;

use crate::{
    browser::{Browser, http},
    caller::{Caller, DEADLINE},
    faults::{DELIVERY, RECOVERY, SLACK, assert_in_time, assert_names_a_passing_fault},
};

#[tokio::test(flavor = "multi_thread")]
async fn services_that_start_while_auth0_is_silent_say_so_and_work_once_it_is_back() {
    let mut options = StackOptions::for_test().unwrap();
    let auth0_port = options.emulators.ports.auth0;
    let proxy = FaultProxy::start(auth0_port).await.unwrap();
    options.emulators.issuer = Some(proxy.url());
    let stack = Stack::start(options).await.unwrap();
    let browser = || Browser::new(stack.app_url()).going_straight(proxy.port(), auth0_port);
    let ada = browser();
    ada.log_in("acme-admin", "acme").await;
    let caller = Caller::of_acme(&stack, stack.grpc_url());
    proxy.inject(Fault::Silence);
    for service in [Service::Records, Service::Frontend] {
        stack.restart(service, &[]).await.unwrap();
    }

    let call = caller.list().await;
    let page = ada.get("/records").await;
    let begun = browser().get("/auth/login?organization=acme").await;
    proxy.heal();

    assert_names_a_passing_fault(&call.result.unwrap_err());
    assert!(call.took < DEADLINE + SLACK, "a call took {:?}", call.took);
    for page in [page, begun] {
        assert_in_time(&page, &[503, 504]);
    }
    let healed = Instant::now();
    while ada.get("/records").await.status != 200 {
        assert!(healed.elapsed() < RECOVERY, "there is no page yet");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    browser().log_in("acme-viewer", "acme").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn services_stop_in_time_and_in_order_while_their_tables_are_silent() {
    let mut options = StackOptions::for_test().unwrap();
    let proxy = FaultProxy::start(options.emulators.ports.dynamodb).await.unwrap();
    for service in Service::ALL {
        let variable = "AWS_ENDPOINT_URL_DYNAMODB".to_owned();
        options.variables.push((service, variable, proxy.url()));
    }
    let stack = Stack::start(options).await.unwrap();
    let ada = Browser::logged_in(stack.app_url(), "acme-admin", "acme").await;
    let caller = Caller::of_acme(&stack, stack.grpc_url());
    caller.create("before", &Uuid::new_v4().to_string()).await.result.unwrap();
    caller.assert_each_once(&["before".to_owned()], DELIVERY).await;
    proxy.inject(Fault::Silence);

    let (call, page, ended) = tokio::join!(caller.list(), ada.get("/records"), async {
        tokio::join!(
            under_way(&stack, Service::Records, "grpc_server_requests_in_flight"),
            under_way(&stack, Service::Frontend, "http_server_requests_in_flight"),
        );
        join_all(Service::ALL.map(|service| stack.stop_service(service))).await
    });
    proxy.heal();
    for service in Service::ALL {
        stack.restart(service, &[]).await.unwrap();
    }

    assert_names_a_passing_fault(&call.result.unwrap_err());
    assert_in_time(&page, &[503, 504]);
    for status in ended {
        assert!(status.unwrap().success(), "{status:?}");
    }
    assert_eq!(ada.get("/records").await.status, 200);
}

/// Waits until a service says that it works on something, or would have answered it by now.
async fn under_way(stack: &Stack, service: Service, gauge: &str) {
    let (http, deadline) = (http().build().unwrap(), Instant::now() + DEADLINE);
    let (url, idle) = (format!("{}/metrics", stack.ops_url(service)), format!("\n{gauge} 0\n"));
    while http.get(&url).send().await.unwrap().text().await.unwrap().contains(&idle)
        && Instant::now() < deadline
    {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
