//! Example tables, records, forms and audit trails.

use super::*;

fn columns() -> Vec<Column> {
    [
        ("Title", false),
        ("Category", false),
        ("Amount", true),
        ("Due date", false),
        ("Notes", false),
        ("Done", false),
        ("Tags", false),
    ]
    .map(|(label, numeric)| Column { label: label.into(), numeric })
    .to_vec()
}

fn row(index: usize, cells: Vec<DisplayValue>) -> RecordRow {
    let creator = if index % 5 == 3 { machine("acme-machine") } else { person("Eddie Editor") };
    RecordRow { id: id(index), cells, created_at: at("2026-11-23T20:04:05.123Z"), creator }
}

/// A page of `rows` believable records.
fn table(rows: usize) -> RecordsTable {
    let titles = [
        "Site visit at the Hamburg warehouse",
        "Quarterly safety inspection",
        "Replacement of the north gate",
        "Fork lift 7",
    ];
    let notes = [
        "Two racks in aisle 4 are bent and have been cordoned off until the supplier has looked at \
         them; everything else is in order.",
        "",
        "Ordered",
    ];
    let amounts = ["1250.50", "-12", "98000", "12345678901234567890123456789012345678"];
    let rows = (0..rows).map(|index| {
        row(
            index,
            vec![
                text(titles[index % titles.len()]),
                text(["Inspection", "Repair"][index % 2]),
                if index % 6 == 5 { DisplayValue::Missing } else { number(amounts[index % 4]) },
                DisplayValue::Date(date(2026, 12, 1)),
                text(notes[index % notes.len()]),
                DisplayValue::Boolean(index % 3 == 0),
                DisplayValue::TextSet(vec!["urgent".into(), "hall 2".into()]),
            ],
        )
    });
    RecordsTable {
        chrome: chrome(),
        columns: columns(),
        rows: rows.collect(),
        paging: Paging::new("", "AAECAwQFBgcICQ=="),
    }
}

pub(in crate::pages) fn tables() -> Vec<RecordsTable> {
    let empty = RecordsTable { rows: vec![], paging: Paging::new("", ""), ..table(0) };
    let mut values = every_value();
    values.swap(0, 2);
    let hostile = RecordsTable {
        chrome: hostile_chrome(),
        columns: (0..values.len())
            .map(|index| Column { label: ATTRIBUTE.into(), numeric: index % 4 == 3 })
            .collect(),
        rows: vec![
            RecordRow { id: ATTRIBUTE.into(), creator: machine(SCRIPT), ..row(0, values) },
            row(1, vec![]),
            row(2, vec![text(LONG_WORD)]),
            row(3, vec![text(RIGHT_TO_LEFT)]),
        ],
        paging: Paging::new(ATTRIBUTE, ATTRIBUTE),
    };
    vec![
        table(25),
        RecordsTable { chrome: viewer(), ..table(3) },
        empty.clone(),
        RecordsTable { chrome: viewer(), ..empty.clone() },
        RecordsTable { paging: Paging::new("x", ""), ..empty.clone() },
        RecordsTable { columns: vec![], rows: vec![row(0, vec![])], ..empty },
        hostile,
    ]
}

pub(in crate::pages) fn records() -> Vec<RecordView> {
    let shown = |label: &str, value| ShownField { label: label.into(), value };
    let believable = RecordView {
        chrome: chrome(),
        id: id(1),
        title: "Site visit at the Hamburg warehouse 🏗️".into(),
        just_created: true,
        fields: vec![
            shown("Title", text("Site visit at the Hamburg warehouse 🏗️")),
            shown("Category", text("Inspection")),
            shown("Amount", number("12345678901234567890123456789012345678")),
            shown("Due date", DisplayValue::Date(date(2026, 12, 1))),
            shown(
                "Notes",
                text(
                    "Two racks in aisle 4 are bent and have been cordoned off.\n\nThe supplier comes \
                     on Thursday; until then the aisle stays closed and goods go to hall 2. \
                     Everything else is in order, and the fire doors have been checked twice.",
                ),
            ),
            shown("Done", DisplayValue::Boolean(false)),
            shown("Tags", DisplayValue::TextSet(vec!["urgent".into(), "hall 2".into()])),
            shown("Contact", DisplayValue::Missing),
        ],
        version: 1,
        created_at: at("2026-11-23T20:04:05.123Z"),
        creator: person("Ada Admin"),
        updated_at: at("2026-11-23T20:04:05.123Z"),
        updater: person("Ada Admin"),
    };
    let hostile = RecordView {
        chrome: hostile_chrome(),
        id: ATTRIBUTE.into(),
        title: format!("{LONG_WORD} {SCRIPT} {TEMPLATE}"),
        just_created: false,
        fields: every_value().into_iter().map(|value| shown(ATTRIBUTE, value)).collect(),
        version: 7,
        updater: machine(SCRIPT),
        ..believable.clone()
    };
    let mut deepest = text("bottom");
    for _ in 0..16 {
        deepest = DisplayValue::Map(vec![("in".into(), DisplayValue::List(vec![deepest]))]);
        if depth(&deepest) >= 16 {
            break;
        }
    }
    let deep = RecordView {
        title: String::new(),
        fields: vec![shown("Deep", deepest)],
        creator: machine("acme-machine"),
        ..believable.clone()
    };
    vec![believable, hostile, deep]
}

fn depth(value: &DisplayValue) -> usize {
    match value {
        DisplayValue::List(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        DisplayValue::Map(entries) => 1 + entries.iter().map(|(_, v)| depth(v)).max().unwrap_or(0),
        _ => 0,
    }
}

fn fields() -> Vec<FormField> {
    let field = |name: &str, label: &str, input, required, help: &str| FormField {
        name: name.into(),
        label: label.into(),
        help: help.into(),
        input,
        required,
        typed: String::new(),
        error: None,
    };
    let many = ["Inspection", "Repair", "Purchase", "Incident", "Training"].map(String::from);
    let few = ["Low", "Normal", "High"].map(String::from);
    vec![
        field("title", "Title", Input::Text(120), true, "A few words that tell it from others."),
        field("category", "Category", Input::Choice(many.to_vec()), true, ""),
        field("amount", "Amount", Input::Number, false, ""),
        field("due_date", "Due date", Input::Date, false, ""),
        field("priority", "Priority", Input::Choice(few.to_vec()), true, ""),
        field("notes", "Notes", Input::Paragraph(4000), false, ""),
        field("done", "Done", Input::Boolean, false, "Whether anything is left to do."),
    ]
}

pub(in crate::pages) fn forms() -> Vec<RecordForm> {
    let request_id = "7b1f6c0e-3f0a-4c59-9a43-0d1b5f2f9a11";
    let fresh = RecordForm {
        chrome: chrome(),
        request_id: request_id.into(),
        fields: fields(),
        problems: vec![],
    };
    let mut refused = fresh.clone();
    let typed = [
        ("", "Fill in the title."),
        ("", "Choose one of the categories."),
        ("12,5", "Write a number, such as 12.5."),
        ("tomorrow", "Write a day, such as 2026-11-23."),
        ("High", ""),
        ("\nTwo racks in aisle 4 are bent.\n", ""),
        ("true", "This must be yes or no."),
    ];
    for (field, (typed, error)) in refused.fields.iter_mut().zip(typed) {
        field.typed = typed.into();
        field.error = (!error.is_empty()).then(|| error.into());
    }
    let mut hostile = fresh.clone();
    hostile.chrome = hostile_chrome();
    hostile.request_id = ATTRIBUTE.into();
    hostile.problems = vec![SCRIPT.into(), LONG_WORD.into()];
    for (field, nasty) in hostile
        .fields
        .iter_mut()
        .zip([ATTRIBUTE, SCRIPT, TEMPLATE, RIGHT_TO_LEFT, EMOJI, LONG_WORD].iter().cycle())
    {
        field.name = ATTRIBUTE.into();
        field.label = (*nasty).into();
        field.help = (*nasty).into();
        field.typed = format!("</textarea>{nasty}");
        field.error = Some((*nasty).into());
        if let Input::Choice(choices) = &mut field.input {
            choices[0] = (*nasty).into();
        }
    }
    vec![
        fresh.clone(),
        refused,
        RecordForm { problems: vec!["The records cannot be reached just now.".into()], ..fresh },
        hostile,
    ]
}

pub(in crate::pages) fn trails() -> Vec<AuditTrail> {
    let change = |label: &str, old, new| Change { label: label.into(), old, new };
    let entry = |actor, action, changes| AuditEntry {
        happened_at: at("2026-11-23T20:04:05.123Z"),
        actor,
        action,
        record_id: id(1),
        version: 3,
        changes,
    };
    let missing = || DisplayValue::Missing;
    let created = records().swap_remove(0).fields.into_iter();
    let entries = vec![
        entry(
            person("Eddie Editor"),
            Action::Updated,
            vec![
                change("Amount", number("1250.5"), number("1300")),
                change("Done", DisplayValue::Boolean(false), DisplayValue::Boolean(true)),
                change("Notes", text("Ordered"), missing()),
            ],
        ),
        entry(machine("acme-machine"), Action::Deleted, vec![]),
        entry(person("Ada Admin"), Action::Restored, vec![]),
        entry(
            person("Ada Admin"),
            Action::Created,
            created
                .filter(|field| field.value != missing())
                .map(|field| change(&field.label, missing(), field.value))
                .collect(),
        ),
    ];
    let hostile = vec![AuditEntry {
        record_id: ATTRIBUTE.into(),
        ..entry(
            machine(SCRIPT),
            Action::Other(SCRIPT.into()),
            every_value()
                .into_iter()
                .map(|value| change(ATTRIBUTE, value.clone(), value))
                .collect(),
        )
    }];
    vec![
        AuditTrail { chrome: chrome(), entries, paging: Paging::new("", "next") },
        AuditTrail { chrome: chrome(), entries: vec![], paging: Paging::new("", "") },
        AuditTrail { chrome: chrome(), entries: vec![], paging: Paging::new("x", "") },
        AuditTrail {
            chrome: hostile_chrome(),
            entries: hostile,
            paging: Paging::new(ATTRIBUTE, ATTRIBUTE),
        },
    ]
}
