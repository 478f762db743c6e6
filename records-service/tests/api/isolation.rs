//! Two organizations, and every method that the running service says it has: with things of the
//! other one, with nobody's token, and without its permission. Nothing of the other organization
//! shows, and nothing of it changes. A method without an entry in `rpcs` fails by name.

mod rpcs;
mod side;

use std::collections::BTreeSet;

use dev_stack::samples::PERMISSIONS;
use tonic::Code;
use tonic_types::StatusExt;

use crate::{
    app::{TestApp, reason},
    reflection::methods,
    wire::{Whole, Wire},
};
use rpcs::{RPCS, Rpc};
use side::{Side, token};

impl Rpc {
    /// Calls it with this token, and with whatever else might pass for an organization.
    async fn call(&self, wire: &Wire, token: &str, them: &Side, request: &[u8]) -> Whole {
        let authorization = format!("Bearer {token}");
        let mut headers = vec![
            ("organization", them.id),
            ("organization-id", them.id),
            ("org_id", them.id),
            ("x-organization-id", them.id),
        ];
        if !token.is_empty() {
            headers.push(("authorization", authorization.as_str()));
        }
        let answer = wire.unread_call(self.path, &headers, request.to_vec().into()).await;
        Whole::of(answer.unwrap(), self.endless).await
    }
}

/// A running system with two organizations, in both directions.
async fn two_sides() -> (TestApp, [Side; 2]) {
    let app = TestApp::start().await;
    let acme = Side::plant(&app, "acme").await;
    let globex = Side::plant(&app, "globex").await;
    (app, [acme, globex])
}

fn directions([one, other]: &[Side; 2]) -> [(&Side, &Side); 2] {
    [(one, other), (other, one)]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_is_tried_and_none_that_is_not_there() {
    let app = TestApp::start().await;

    let there = methods(&app.channel).await;

    let tried: BTreeSet<_> = RPCS.iter().map(|rpc| rpc.path.to_owned()).collect();
    let untried: Vec<_> = there.difference(&tried).collect();
    let gone: Vec<_> = tried.difference(&there).collect();
    assert!(untried.is_empty(), "these methods have no entry in tests/api/isolation: {untried:?}");
    assert!(gone.is_empty(), "these methods are not there any more: {gone:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_things_of_another_organization_no_method_shows_or_changes_anything_of_it() {
    // Who is a member of both must not reach over either.
    let attackers: [fn(&Side) -> &str; 2] = [|us| &us.admin, |us| &us.consultant];
    for attacker in attackers {
        let (app, sides) = two_sides().await;
        let wire = Wire::connect(&app.serve.address).await;
        for (us, them) in directions(&sides) {
            let (token, before) = (attacker(us), them.everything(&app).await);

            for rpc in RPCS {
                let own = rpc.call(&wire, token, them, &(rpc.own)(us)).await;
                assert_eq!(own.code(), Code::Ok, "{}: {}", rpc.path, own.seen);
                them.assert_hidden_in(&own, rpc.path);
                for attempt in (rpc.attempts)(us, them) {
                    let what = format!("{} with {}", rpc.path, attempt.what);
                    let answer = rpc.call(&wire, token, them, &attempt.request).await;
                    assert_eq!(answer.code(), attempt.code, "{what}: {}", answer.seen);
                    them.assert_hidden_in(&answer, &what);
                }
            }

            assert_eq!(them.everything(&app).await, before);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_search_for_what_must_not_show_finds_it_in_an_answer_to_its_owner() {
    let (app, [acme, globex]) = two_sides().await;
    let wire = Wire::connect(&app.serve.address).await;
    for path in ["RecordsService/ListRecords", "AuditService/ListAuditEvents"] {
        let rpc = RPCS.iter().find(|rpc| rpc.path.ends_with(path)).unwrap();

        let answer = rpc.call(&wire, &acme.admin, &globex, &(rpc.own)(&acme)).await;

        assert!(acme.is_seen_in(&answer), "{}", answer.seen);
        assert!(!globex.is_seen_in(&answer), "{}", answer.seen);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_organization_has_reads_as_what_nobody_has() {
    let (app, sides) = two_sides().await;
    let wire = Wire::connect(&app.serve.address).await;
    let mut compared = 0;
    for (us, them) in directions(&sides) {
        for rpc in RPCS {
            for (theirs, nobodys) in (rpc.alike)(them) {
                let theirs = rpc.call(&wire, &us.admin, them, &theirs).await;
                let nobodys = rpc.call(&wire, &us.admin, them, &nobodys).await;
                assert_ne!(theirs.code(), Code::Ok, "{}", rpc.path);
                assert_eq!(theirs.seen, nobodys.seen, "{}", rpc.path);
                compared += 1;
            }
        }
    }
    assert!(compared >= 6, "only {compared} were compared");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_every_method_of_the_contract_says_the_same_whatever_is_asked() {
    let (app, sides) = two_sides().await;
    let wire = Wire::connect(&app.serve.address).await;
    let mut said = BTreeSet::new();
    for (us, them) in directions(&sides) {
        for rpc in RPCS {
            let attempts = (rpc.attempts)(us, them).into_iter().map(|attempt| attempt.request);
            for request in std::iter::once((rpc.own)(us)).chain(attempts) {
                let answer = rpc.call(&wire, "", them, &request).await;
                them.assert_hidden_in(&answer, rpc.path);
                us.assert_hidden_in(&answer, rpc.path);
                if rpc.needs.is_empty() {
                    assert_eq!(answer.code(), Code::Ok, "{}", rpc.path);
                } else {
                    assert_eq!(answer.code(), Code::Unauthenticated, "{}", rpc.path);
                    said.insert(answer.seen);
                }
            }
        }
    }
    assert_eq!(said.len(), 1, "{said:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_permission_every_method_says_the_same_whatever_is_asked() {
    let (app, sides) = two_sides().await;
    let wire = Wire::connect(&app.serve.address).await;
    for (us, them) in directions(&sides) {
        for rpc in RPCS.iter().filter(|rpc| !rpc.needs.is_empty()) {
            // Each permission missing in turn, all that would do missing, and each of those alone.
            let without = |missing: &[&str]| -> Vec<&str> {
                PERMISSIONS.into_iter().filter(|it| !missing.contains(it)).collect()
            };
            let mut held: Vec<_> = PERMISSIONS.iter().map(|it| without(&[it])).collect();
            held.extend([without(rpc.needs), Vec::new()]);
            held.extend(rpc.needs.iter().map(|needed| vec![*needed]));

            for permissions in held {
                let token = token(&app, "consultant", us.name, &permissions);
                let answer = rpc.call(&wire, &token, them, &(rpc.own)(us)).await;
                let what = format!("{} with {permissions:?}", rpc.path);
                if rpc.needs.iter().any(|needed| permissions.contains(needed)) {
                    assert_eq!(answer.code(), Code::Ok, "{what}: {}", answer.seen);
                    continue;
                }
                let status = answer.status.as_ref().unwrap_err();
                assert_eq!(status.code(), Code::PermissionDenied, "{what}: {}", answer.seen);
                assert_eq!(reason(status), "PERMISSION_DENIED", "{what}");
                let details = status.get_error_details();
                let named = &details.error_info().unwrap().metadata["permission"];
                assert_eq!(named, rpc.needs[0], "{what}");
                for attempt in (rpc.attempts)(us, them) {
                    let other = rpc.call(&wire, &token, them, &attempt.request).await;
                    assert_eq!(other.seen, answer.seen, "{what}, {}", attempt.what);
                }
            }
        }
    }
}
