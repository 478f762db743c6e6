//! Every template with every sample, strictly; nothing that people typed is ever markup; and the
//! colours can be read.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::samples::CANARY;
use super::*;

/// Templates that pages are made of and that are no page themselves.
const PARTS: [&str; 6] =
    ["layout.html", "app.html", "topbar.html", "ending.html", "paging.html", "value.html"];
/// Put around everything that templates print, by a stand-in for the escaping.
const OPEN: char = '\u{1}';
const CLOSE: char = '\u{2}';

/// The template and the rendered samples of every page.
fn rendered(pages: &Pages) -> Vec<(&'static str, Vec<String>)> {
    fn all<P: super::Page>(pages: &Pages) -> (&'static str, Vec<String>) {
        let samples = P::samples();
        (P::TEMPLATE, samples.iter().map(|page| pages.render(page).unwrap()).collect())
    }
    vec![
        all::<Login>(pages),
        all::<Home>(pages),
        all::<RecordsTable>(pages),
        all::<RecordView>(pages),
        all::<RecordForm>(pages),
        all::<AuditTrail>(pages),
        all::<YourSessions>(pages),
        all::<Switch>(pages),
        all::<ErrorPage>(pages),
    ]
}

/// The context of every sample as JSON.
fn contexts() -> Vec<serde_json::Value> {
    fn all<P: super::Page>() -> Vec<serde_json::Value> {
        P::samples().iter().map(|page| serde_json::to_value(page).unwrap()).collect()
    }
    [
        all::<Login>(),
        all::<Home>(),
        all::<RecordsTable>(),
        all::<RecordView>(),
        all::<RecordForm>(),
        all::<AuditTrail>(),
        all::<YourSessions>(),
        all::<Switch>(),
        all::<ErrorPage>(),
    ]
    .concat()
}

fn templates_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("templates")
}

/// With `PAGES_OUT` set to a folder, the samples are also written there to be looked at.
#[test]
fn every_template_renders_with_every_sample() {
    for (template, documents) in rendered(&Pages::compile().unwrap()) {
        assert!(documents.len() > 1, "{template} has too few samples");
        for (index, html) in documents.iter().enumerate() {
            assert!(html.starts_with("<!DOCTYPE html>"), "{template} {index}");
            assert!(html.trim_end().ends_with("</html>"), "{template} {index}");
            if let Some(folder) = std::env::var_os("PAGES_OUT") {
                let name = format!("{}-{index}.html", template.trim_end_matches(".html"));
                std::fs::write(Path::new(&folder).join(name), html).unwrap();
            }
        }
    }
}

#[test]
fn every_template_file_is_a_page_or_a_part_of_one() {
    let files: BTreeSet<String> = std::fs::read_dir(templates_folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();

    let compiled = TEMPLATES.iter().map(|(name, _)| (*name).to_owned()).collect();
    let pages = rendered(&Pages::compile().unwrap()).into_iter().map(|(template, _)| template);
    let used = pages.chain(PARTS).map(str::to_owned).collect();

    assert_eq!(files, compiled);
    assert_eq!(files, used);
}

#[test]
fn every_page_of_who_is_logged_in_has_the_logout() {
    const FORM: &str = r#"<form class="logout" method="post" action="/auth/logout">"#;
    let documents = rendered(&Pages::compile().unwrap())
        .into_iter()
        .flat_map(|(name, documents)| documents.into_iter().map(move |html| (name, html)));

    for ((template, html), context) in documents.zip(contexts()) {
        let is_for_strangers_too = [Login::TEMPLATE, ErrorPage::TEMPLATE].contains(&template);
        assert!(is_for_strangers_too || context["chrome"].is_object(), "{template}");
        assert_eq!(html.contains(FORM), context["chrome"].is_object(), "{template}");
    }
}

/// The engine takes an unknown name in a condition for false, so a misspelt one would go unseen.
#[test]
fn every_name_in_a_template_is_in_some_page_or_set_there() {
    const WORDS: [&str; 32] = [
        "if",
        "elif",
        "else",
        "endif",
        "for",
        "endfor",
        "in",
        "block",
        "endblock",
        "set",
        "endset",
        "extends",
        "include",
        "component",
        "endcomponent",
        "and",
        "or",
        "not",
        "is",
        "none",
        "loop",
        "index",
        "first",
        "length",
        "pluralize",
        "map",
        "of",
        "value",
        "assets",
        "stylesheet",
        "favicon",
        "mark",
    ];
    let mut known: BTreeSet<String> = WORDS.map(str::to_owned).into();
    known.insert("section".to_owned());
    for context in contexts() {
        keys(&context, &mut known);
    }

    for (name, source) in TEMPLATES {
        let mut made = BTreeSet::new();
        for tag in tags(source) {
            let words = identifiers(&tag);
            match words.first().map(String::as_str) {
                Some("block" | "endblock") => continue,
                Some("for" | "set") => made.extend(words.get(1).cloned()),
                _ => {}
            }
            for word in words {
                let part = ["list_path", "list_noun"].contains(&word.as_str());
                assert!(
                    known.contains(&word) || made.contains(&word) || part,
                    "{name}: unknown name {word} in {tag}"
                );
            }
        }
    }
}

/// Everything printed is put between marks instead of being escaped; then nothing that people typed
/// may stand outside of them, and inside a tag the marks may stand only between double quotes.
#[test]
fn what_people_typed_is_only_ever_escaped_text_or_a_quoted_attribute() {
    let mut pages = Pages::compile().unwrap();
    pages.tera.set_escape_fn(|text, out| write!(out, "{OPEN}{text}{CLOSE}"));

    let mut seen = 0;
    for (template, documents) in rendered(&pages) {
        for html in documents {
            let mut outside = String::new();
            let (mut depth, mut in_tag, mut quoted) = (0, false, false);
            for character in html.chars() {
                match character {
                    OPEN => {
                        assert!(!in_tag || quoted, "{template}: unquoted in a tag: {outside}");
                        depth += 1;
                        seen += 1;
                    }
                    CLOSE => depth -= 1,
                    _ if depth > 0 => continue,
                    '<' if !in_tag => in_tag = true,
                    '>' if !quoted => in_tag = false,
                    '"' if in_tag => quoted = !quoted,
                    _ => {}
                }
                outside.push(character);
            }
            assert!(!outside.contains(CANARY), "{template}: printed unescaped: {outside}");
            assert!(!in_tag && !quoted && depth == 0, "{template}: unbalanced");
        }
    }
    assert!(seen > 1_000, "the marks are not where they should be");
}

#[test]
fn hostile_texts_do_not_become_markup() {
    for (template, documents) in rendered(&Pages::compile().unwrap()) {
        for html in documents {
            for markup in ["<script", "<img src=x", "onfocus=\"", "</textarea>z", "<b>"] {
                assert!(!html.contains(markup), "{template} contains {markup}");
            }
            assert!(!html.contains("49"), "{template} evaluated what somebody typed");
        }
    }
}

/// The pages' content security policy allows no script and no inline style, and the links of one
/// template must not look for others' sites.
#[test]
fn templates_have_no_script_no_inline_style_and_switch_no_escaping_off() {
    for (name, source) in TEMPLATES {
        for forbidden in ["safe", "<script", "<style", "style=", " on", "javascript:", "http"] {
            let tags_only = source.split('<').skip(1).filter_map(|tag| tag.split('>').next());
            let found = tags_only.filter(|tag| tag.contains(forbidden)).collect::<Vec<_>>();
            assert!(found.is_empty(), "{name} has {forbidden} in {found:?}");
        }
        assert!(!tags(source).iter().any(|tag| tag.contains("safe")), "{name} uses safe");
    }
}

#[test]
fn a_number_of_38_digits_is_shown_and_kept_in_all_its_digits() {
    const DIGITS: &str = "12345678901234567890123456789012345678";
    let pages = Pages::compile().unwrap();
    let mut form = RecordForm::samples().swap_remove(0);
    form.fields[2].typed = DIGITS.to_owned();

    let table = pages.render(&RecordsTable::samples()[0]).unwrap();
    let record = pages.render(&RecordView::samples()[0]).unwrap();
    let form = pages.render(&form).unwrap();

    assert!(table.contains(DIGITS));
    assert!(record.contains(DIGITS));
    assert!(form.contains(&format!(
        "inputmode=\"decimal\" autocomplete=\"off\" class=\"digits\" value=\"{DIGITS}\""
    )));
}

#[test]
fn long_texts_are_cut_between_words_in_the_table_only() {
    let text = "All work and no play makes Jack a dull boy and this is where the table stops";

    let summary = DisplayValue::Text(text.to_owned()).summary().into_owned();

    assert_eq!(summary, "All work and no play makes Jack a dull boy and this is where the…");
    assert_eq!(DisplayValue::Text("ü".repeat(64)).summary(), "ü".repeat(64));
    assert_eq!(DisplayValue::Text("ü".repeat(65)).summary(), format!("{}…", "ü".repeat(64)));
}

#[test]
fn times_are_for_machines_and_for_people() {
    let moment = Moment::from("2026-11-03T20:04:05.120Z".parse::<jiff::Timestamp>().unwrap());

    let shown = serde_json::to_value(moment).unwrap();

    assert_eq!(
        shown,
        serde_json::json!({
            "datetime": "2026-11-03T20:04:05Z",
            "minute": "3 Nov 2026, 20:04",
            "second": "05",
        })
    );
}

#[test]
fn a_page_warns_in_the_last_five_minutes_and_the_style_sheet_knows_when_they_begin() {
    let at = Moment::from("2026-11-03T20:04:05Z".parse::<jiff::Timestamp>().unwrap());
    let css = include_str!("../../static/app.css");
    for (left, shown_after, minutes_left) in
        [(1, 0, Some(1)), (300, 0, Some(5)), (359, 0, Some(6)), (360, 1, None), (86_400, 25, None)]
    {
        let ending = Ending::new(at, true, left);
        assert_eq!(
            (ending.shown_after, ending.minutes_left),
            (shown_after, minutes_left),
            "{left}"
        );
    }
    for minutes in 1..=25 {
        let rule = format!(".after-{minutes} {{ animation-delay: {}s; }}", minutes * 60);
        assert!(css.contains(&rule), "{rule}");
    }
}

/// WCAG 2.2, 1.4.3 and 1.4.11: 4.5 to 1 for text, 3 to 1 for the edges of inputs and for focus.
#[test]
fn colours_can_be_read_in_light_and_in_dark() {
    let css = include_str!("../../static/app.css");
    let dark = css.find("@media (prefers-color-scheme: dark)").unwrap();
    let mut failures = String::new();

    for (scheme, sheet) in [("light", &css[..dark]), ("dark", &css[dark..])] {
        let mut need = |front: &str, back: &str, least: f64| {
            let ratio = contrast(luminance(sheet, front), luminance(sheet, back));
            if ratio < least {
                writeln!(failures, "{scheme}: {front} on {back} is {ratio:.2}").unwrap();
            }
        };
        for back in ["paper", "surface", "sunken"] {
            for front in ["ink", "muted", "accent", "accent-strong"] {
                need(front, back, 4.5);
            }
            need("control", back, 3.0);
        }
        need("on-accent", "accent", 4.5);
        need("on-accent", "accent-strong", 4.5);
        need("accent-strong", "accent-soft", 4.5);
        need("ink", "accent-soft", 4.5);
        need("ink", "danger-soft", 4.5);
        need("danger", "surface", 4.5);
        need("danger", "paper", 3.0);
    }

    assert!(failures.is_empty(), "{failures}");
}

/// The relative luminance of `--name: #rrggbb` (WCAG 2.2).
fn luminance(sheet: &str, name: &str) -> f64 {
    let declaration = format!("--{name}: #");
    let start = sheet.find(&declaration).unwrap() + declaration.len();
    let channel = |index: usize| {
        let hex = &sheet[start + 2 * index..start + 2 * index + 2];
        let part = f64::from(u8::from_str_radix(hex, 16).unwrap()) / 255.0;
        if part <= 0.040_45 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * channel(0) + 0.7152 * channel(1) + 0.0722 * channel(2)
}

fn contrast(one: f64, other: f64) -> f64 {
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

/// All keys of all objects in `value`.
fn keys(value: &serde_json::Value, into: &mut BTreeSet<String>) {
    match value {
        serde_json::Value::Object(entries) => {
            for (key, value) in entries {
                into.insert(key.clone());
                keys(value, into);
            }
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| keys(item, into)),
        _ => {}
    }
}

/// What stands inside `{{ }}` and `{% %}`, without the texts in quotes.
fn tags(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    // Tags with % first: they make names that those with {{ use.
    for (open, close) in [("{%", "%}"), ("{{", "}}")] {
        for piece in source.split(open).skip(1) {
            let tag = piece.split(close).next().unwrap();
            found.push(tag.split('"').step_by(2).collect());
        }
    }
    found
}

fn identifiers(tag: &str) -> Vec<String> {
    tag.split(|character: char| !character.is_ascii_alphanumeric() && character != '_')
        .filter(|word| word.starts_with(|first: char| first.is_ascii_alphabetic()))
        .map(str::to_owned)
        .collect()
}
