//! Example pages for the tests: believable ones, and ones that try to break out of their place.

mod records;

use jiff::civil::date;

use super::*;
use crate::{login_attempt::LoginWish, return_path::ReturnPath};

pub(super) use records::{forms, records, tables, trails};

/// Stands in every hostile text, so that a test can look for what it must find only escaped.
pub(super) const CANARY: &str = "zzq";

const SCRIPT: &str = "<script>alert('zzq')</script>";
const ATTRIBUTE: &str = "zzq\" onfocus=\"alert(1)\" x='><img src=x onerror=alert(2)>&amp;";
const TEMPLATE: &str = "{{ 7 * 7 }}{% raw %} zzq {#";
const RIGHT_TO_LEFT: &str = "تقرير زيارة الموقع zzq — مستودع حيفا";
const EMOJI: &str = "Launch party 🎉👩‍🚀 zzq";
const LONG_WORD: &str = "zzqDonaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaftsvorsitzender";
const DIGITS: &str = "-12345678901234567890.123456789012345678";

fn chrome() -> Chrome {
    Chrome {
        organization: "Acme Corporation".into(),
        person: "Ada Admin".into(),
        can_read: true,
        can_create: true,
        can_read_audit: true,
        csrf_token: "kQ3v-8Zb1m".into(),
        ending: Ending::new(at("2026-11-23T20:34:00Z"), false, 30 * 60),
    }
}

/// In the last minutes of a session.
fn ending(is_final: bool) -> Chrome {
    Chrome { ending: Ending::new(at("2026-11-23T20:08:00Z"), is_final, 4 * 60), ..chrome() }
}

fn viewer() -> Chrome {
    Chrome { person: "Vera Viewer".into(), can_create: false, can_read_audit: false, ..chrome() }
}

fn hostile_chrome() -> Chrome {
    Chrome {
        organization: format!("{ATTRIBUTE} {LONG_WORD}"),
        person: SCRIPT.into(),
        csrf_token: ATTRIBUTE.into(),
        ..chrome()
    }
}

fn at(text: &str) -> Moment {
    Moment::from(text.parse::<jiff::Timestamp>().unwrap())
}

fn person(name: &str) -> Actor {
    Actor { name: name.into(), kind: ActorKind::Person }
}

fn machine(name: &str) -> Actor {
    Actor { name: name.into(), kind: ActorKind::Machine }
}

fn text(text: &str) -> DisplayValue {
    DisplayValue::Text(text.into())
}

fn number(text: &str) -> DisplayValue {
    DisplayValue::Number(text.into())
}

fn id(last: usize) -> String {
    format!("0197a3c2-5b1e-7c44-9f02-{last:012}")
}

/// One value of every kind, with hostile texts in each.
fn every_value() -> Vec<DisplayValue> {
    let nested = DisplayValue::Map(vec![
        (ATTRIBUTE.into(), text(SCRIPT)),
        ("Colours".into(), DisplayValue::TextSet(vec![SCRIPT.into(), "green".into()])),
        (
            "Deep".into(),
            DisplayValue::List(vec![
                number(DIGITS),
                DisplayValue::List(vec![]),
                DisplayValue::Map(vec![]),
                DisplayValue::Null,
            ]),
        ),
    ]);
    vec![
        DisplayValue::Missing,
        text(""),
        text(SCRIPT),
        text(RIGHT_TO_LEFT),
        text(EMOJI),
        text(LONG_WORD),
        text("First line\n\n  <b>indented</b> third line\n"),
        number(DIGITS),
        DisplayValue::Boolean(true),
        DisplayValue::Boolean(false),
        DisplayValue::Date(date(2026, 11, 23)),
        DisplayValue::Null,
        DisplayValue::Binary(1),
        DisplayValue::Binary(2048),
        DisplayValue::TextSet(vec![ATTRIBUTE.into(), "blue".into(), LONG_WORD.into()]),
        DisplayValue::NumberSet(vec!["1".into(), DIGITS.into()]),
        DisplayValue::BinarySet(vec![3, 12]),
        DisplayValue::List(vec![]),
        nested,
    ]
}

pub(super) fn logins() -> Vec<Login> {
    vec![
        Login::default(),
        Login { notice: Some(Notice::LoggedOut), ..Login::default() },
        Login { notice: Some(Notice::LoggedOutHereOnly), ..Login::default() },
        Login {
            organization: "acme".into(),
            notice: Some(Notice::SessionExpired),
            return_to: Some("/records/new?draft=1&x=2".into()),
        },
        Login {
            organization: ATTRIBUTE.into(),
            notice: Some(Notice::LoginNeeded),
            return_to: Some(ATTRIBUTE.into()),
        },
    ]
}

pub(super) fn homes() -> Vec<Home> {
    let titles =
        ["Site visit at the Hamburg warehouse", "Quarterly safety inspection", "", "Fork lift 7"];
    let latest = titles
        .iter()
        .enumerate()
        .map(|(index, title)| RecentRecord {
            id: id(index),
            title: (*title).into(),
            created_at: at("2026-11-23T20:04:05.123Z"),
            creator: if index == 1 { machine("acme-machine") } else { person("Eddie Editor") },
        })
        .collect();
    let hostile = [SCRIPT, ATTRIBUTE, TEMPLATE, RIGHT_TO_LEFT, EMOJI, LONG_WORD]
        .map(|title| RecentRecord {
            id: ATTRIBUTE.into(),
            title: title.into(),
            created_at: at("1970-01-01T00:00:00Z"),
            creator: machine(title),
        })
        .to_vec();
    vec![
        Home { chrome: chrome(), latest: Some(latest) },
        Home { chrome: viewer(), latest: Some(vec![]) },
        Home { chrome: chrome(), latest: None },
        Home { chrome: ending(true), latest: Some(vec![]) },
        Home { chrome: ending(false), latest: Some(vec![]) },
        Home { chrome: Chrome { can_read: false, can_create: false, ..chrome() }, latest: None },
        Home { chrome: hostile_chrome(), latest: Some(hostile) },
    ]
}

pub(super) fn sessions() -> Vec<YourSessions> {
    let entry = |device: &str, organization: &str| SessionEntry {
        handle: "pTq0xD3Yk1m2".into(),
        is_this: false,
        device: device.into(),
        organization: organization.into(),
        began_at: at("2026-11-23T07:58:00Z"),
        last_used_at: at("2026-11-23T13:02:00Z"),
        idle_end: Some(at("2026-11-23T13:32:00Z")),
        final_end: at("2026-11-23T15:58:00Z"),
    };
    let this = SessionEntry { is_this: true, ..entry("Firefox on Windows", "Acme Corporation") };
    let others = [
        SessionEntry { idle_end: None, ..entry("Safari on iPhone", "Acme Corporation") },
        entry("Chrome on Linux", "Globex"),
    ];
    let hostile = SessionEntry { handle: ATTRIBUTE.into(), ..entry(SCRIPT, ATTRIBUTE) };
    let done = Some(SessionsDone::OneEnded);
    vec![
        YourSessions { chrome: chrome(), done: None, sessions: vec![this.clone()] },
        YourSessions {
            chrome: chrome(),
            done,
            sessions: [this.clone()].into_iter().chain(others).collect(),
        },
        YourSessions {
            chrome: hostile_chrome(),
            done: Some(SessionsDone::OthersEnded),
            sessions: vec![this, hostile],
        },
    ]
}

pub(super) fn errors() -> Vec<ErrorPage> {
    let reference = "4bf92f3577b34da6a3ce929d0e0e4736";
    let outside = [
        Problem::BadRequest,
        Problem::BadPageToken,
        Problem::LoginExpired,
        Problem::LoginExpiredWhileSending,
        Problem::HeadTooLarge,
        Problem::RateLimited(1),
        Problem::RateLimited(30),
    ];
    let inside = [
        Problem::FormExpired,
        Problem::Forbidden,
        Problem::PageNotFound,
        Problem::RecordNotFound,
        Problem::SessionNotFound,
        Problem::MethodNotAllowed,
        Problem::TooLarge,
        Problem::Busy(1),
        Problem::Busy(5),
        Problem::Internal,
        Problem::Unavailable,
        Problem::TimedOut,
    ];
    let outside = outside
        .map(|problem| ErrorPage::new(&problem, reference).returning_to("/records?a=b&c=\"zzq\""));
    let inside = inside.map(|problem| ErrorPage::new(&problem, reference).within(chrome()));
    let hostile = ErrorPage::new(&Problem::Internal, ATTRIBUTE).within(hostile_chrome());
    let typed = [("title", ATTRIBUTE), (ATTRIBUTE, SCRIPT)];
    let kept = [Problem::Unavailable, Problem::LoginExpiredWhileSending].map(|problem| {
        ErrorPage::new(&problem, reference).repeating("/records", typed.into_iter()).unwrap()
    });
    outside.into_iter().chain(login_errors()).chain(inside).chain([hostile]).chain(kept).collect()
}

/// Every problem of a login, for somebody who asked for nothing in particular, for acme, to leave
/// globex for acme, and for what breaks out of pages.
fn login_errors() -> Vec<ErrorPage> {
    let return_to = || ReturnPath::parse("/records?a=b&c=zzq").unwrap();
    let acme = LoginWish {
        organization: Some("acme".into()),
        return_to: return_to(),
        ..LoginWish::default()
    };
    let switch = LoginWish { instead_of: Some("globex".into()), ..acme.clone() };
    let hostile = LoginWish {
        organization: Some(ATTRIBUTE.into()),
        invitation: Some(SCRIPT.into()),
        instead_of: Some(SCRIPT.into()),
        ..acme.clone()
    };
    let wishes = [LoginWish::default(), acme, switch, hostile];
    let page = |problem, wish| {
        ErrorPage::new(&Problem::Login(problem), "4bf92f3577b34da6a3ce929d0e0e4736")
            .going_on(problem, wish)
    };
    LoginProblem::ALL
        .iter()
        .flat_map(|problem| wishes.iter().map(|wish| page(*problem, wish)))
        .collect()
}

pub(super) fn switches() -> Vec<Switch> {
    let choice = Switch {
        chrome: chrome(),
        reason: SwitchReason::Choice,
        organization: String::new(),
        is_named: false,
        invitation: None,
        asks_password: false,
        return_to: "/records".into(),
        is_stale: false,
    };
    let link = Switch {
        reason: SwitchReason::Link,
        organization: "globex".into(),
        is_named: true,
        ..choice.clone()
    };
    let unnamed = Switch {
        organization: "org_globex000000000".into(),
        is_named: false,
        invitation: Some("Wk3-ticket".into()),
        reason: SwitchReason::Invitation,
        ..link.clone()
    };
    let hostile = Switch {
        chrome: hostile_chrome(),
        organization: ATTRIBUTE.into(),
        invitation: Some(SCRIPT.into()),
        return_to: ATTRIBUTE.into(),
        ..link.clone()
    };
    vec![
        Switch { is_stale: true, ..choice.clone() },
        choice,
        Switch { reason: SwitchReason::InvitationHere, asks_password: true, ..unnamed.clone() },
        Switch { reason: SwitchReason::Choice, ..hostile.clone() },
        link,
        unnamed,
        hostile,
    ]
}
