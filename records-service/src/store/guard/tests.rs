use std::{collections::HashMap, fs, path::Path};

use aws_sdk_dynamodb::{
    operation::{
        batch_execute_statement::BatchExecuteStatementInput, batch_get_item::BatchGetItemInput,
        batch_write_item::BatchWriteItemInput, delete_item::DeleteItemInput,
        delete_table::DeleteTableInput, describe_table::DescribeTableInput,
        execute_statement::ExecuteStatementInput, execute_transaction::ExecuteTransactionInput,
        export_table_to_point_in_time::ExportTableToPointInTimeInput, get_item::GetItemInput,
        put_item::PutItemInput, query::QueryInput, scan::ScanInput,
        transact_get_items::TransactGetItemsInput, transact_write_items::TransactWriteItemsInput,
        update_item::UpdateItemInput,
    },
    types::{
        ConditionCheck, Delete, DeleteRequest, Get, KeysAndAttributes, Put, PutRequest,
        TransactGetItem, TransactWriteItem, Update, WriteRequest,
    },
};

use super::{super::text, *};

const ACME: &str = "org_acme";
const GLOBEX: &str = "org_globex";

fn guard() -> Guard {
    let [records, outbox, audit] = ["records", "outbox", "trail"].map(ToOwned::to_owned);
    Guard::register(Tables { records, outbox, audit }, &mut Registry::default())
}

fn acme() -> Duty {
    Duty(Whose::Organization(ACME.to_owned()))
}

fn check<I: std::fmt::Debug + Send + Sync + 'static>(
    input: I,
    duty: Option<&Duty>,
) -> Result<(), Stop> {
    guard().check(&Input::erase(input), duty)
}

fn item(entries: &[(&str, &str)]) -> Item {
    entries.iter().map(|(name, value)| ((*name).to_owned(), text(*value))).collect()
}

fn key(organization: &str) -> Item {
    item(&[(ORGANIZATION_ID, organization), ("Record_ID", "rec#1")])
}

fn shard() -> Item {
    item(&[("Shard", "00"), ("Event_ID", "1")])
}

/// A new row of the outbox, by its attribute and by its event.
fn unsent(attribute: &str, event: &str) -> Item {
    let payload = format!(r#"{{"id":"1","data":{{"version":1,"organization_id":"{event}"}}}}"#);
    let mut row = shard();
    row.extend(item(&[(ORGANIZATION_ID, attribute), ("Payload", &payload)]));
    row
}

/// Every operation that touches one row of a table, in every way in which it can name it.
fn on_one_row(table: &str, row: &Item) -> Vec<(&'static str, Input)> {
    let row = || row.clone();
    let write = |write: TransactWriteItem| {
        Input::erase(TransactWriteItemsInput::builder().transact_items(write).build().unwrap())
    };
    let batch = |write: WriteRequest| {
        let input = BatchWriteItemInput::builder().request_items(table, vec![write]);
        Input::erase(input.build().unwrap())
    };
    let write_item = TransactWriteItem::builder;
    let put = Put::builder().table_name(table).set_item(Some(row())).build().unwrap();
    let update = Update::builder().table_name(table).set_key(Some(row()));
    let update = update.update_expression("SET #a = :a").build().unwrap();
    let delete = Delete::builder().table_name(table).set_key(Some(row())).build().unwrap();
    let exists = ConditionCheck::builder().table_name(table).set_key(Some(row()));
    let exists = exists.condition_expression("attribute_exists(#a)").build().unwrap();
    let get = Get::builder().table_name(table).set_key(Some(row())).build().unwrap();
    let get = TransactGetItem::builder().get(get).build();
    let keys = KeysAndAttributes::builder().keys(row()).build().unwrap();
    let put_request = PutRequest::builder().set_item(Some(row())).build().unwrap();
    let delete_request = DeleteRequest::builder().set_key(Some(row())).build().unwrap();

    let get_item = GetItemInput::builder().table_name(table).set_key(Some(row()));
    let put_item = PutItemInput::builder().table_name(table).set_item(Some(row()));
    let update_item = UpdateItemInput::builder().table_name(table).set_key(Some(row()));
    let delete_item = DeleteItemInput::builder().table_name(table).set_key(Some(row()));
    let transact_get = TransactGetItemsInput::builder().transact_items(get).build();
    let batch_get = BatchGetItemInput::builder().request_items(table, keys).build();
    vec![
        ("GetItem", Input::erase(get_item.build().unwrap())),
        ("PutItem", Input::erase(put_item.build().unwrap())),
        ("UpdateItem", Input::erase(update_item.build().unwrap())),
        ("DeleteItem", Input::erase(delete_item.build().unwrap())),
        ("TransactGetItems", Input::erase(transact_get.unwrap())),
        ("BatchGetItem", Input::erase(batch_get.unwrap())),
        ("TransactWriteItems: Put", write(write_item().put(put).build())),
        ("TransactWriteItems: Update", write(write_item().update(update).build())),
        ("TransactWriteItems: Delete", write(write_item().delete(delete).build())),
        ("TransactWriteItems: ConditionCheck", write(write_item().condition_check(exists).build())),
        ("BatchWriteItem: put", batch(WriteRequest::builder().put_request(put_request).build())),
        (
            "BatchWriteItem: delete",
            batch(WriteRequest::builder().delete_request(delete_request).build()),
        ),
    ]
}

fn is_put(operation: &str) -> bool {
    ["PutItem", "TransactWriteItems: Put", "BatchWriteItem: put"].contains(&operation)
}

fn query(table: &str, condition: &str, pinned: (&str, &str)) -> QueryInput {
    QueryInput::builder()
        .table_name(table)
        .key_condition_expression(condition)
        .expression_attribute_names("#partition", pinned.0)
        .expression_attribute_names("#range", "Record_ID")
        .expression_attribute_values(":partition", text(pinned.1))
        .expression_attribute_values(":range", text("rec#"))
        .build()
        .unwrap()
}

#[test]
fn every_operation_on_a_row_is_sent_for_its_own_organization_alone() {
    for table in ["records", "trail"] {
        for (operation, input) in on_one_row(table, &key(ACME)) {
            assert_eq!(guard().check(&input, Some(&acme())), Ok(()), "{operation}");
            let by_nobody = guard().check(&input, None);
            assert_eq!(by_nobody, Err(Stop::Nobody), "{operation}");
            let by_relay = guard().check(&input, Some(&Duty::of_relay()));
            assert_eq!(by_relay, Err(Stop::Relay), "{operation}");
        }
        for (operation, input) in on_one_row(table, &key(GLOBEX)) {
            let stopped = guard().check(&input, Some(&acme()));
            assert_eq!(stopped, Err(Stop::Other), "{operation}");
        }
        for (operation, input) in on_one_row(table, &item(&[("Record_ID", "rec#1")])) {
            let stopped = guard().check(&input, Some(&acme()));
            assert_eq!(stopped, Err(Stop::Untold), "{operation}");
        }
    }
}

#[test]
fn an_organization_is_a_text_and_exactly_the_same() {
    let odd = [
        AttributeValue::Ss(vec![ACME.to_owned()]),
        AttributeValue::L(vec![text(ACME)]),
        AttributeValue::Null(true),
        text(""),
        text("ORG_ACME"),
        text("org_acme "),
        text("org_acm"),
        text("org_acme2"),
    ];
    for value in odd {
        let row = HashMap::from([(ORGANIZATION_ID.to_owned(), value)]);
        let get = GetItemInput::builder().table_name("records").set_key(Some(row)).build();
        assert_eq!(check(get.unwrap(), Some(&acme())), Err(Stop::Other));
    }
}

#[test]
fn one_foreign_row_stops_all_that_are_asked_for_with_it() {
    let put = |table: &str, row: Item| {
        let put = Put::builder().table_name(table).set_item(Some(row)).build().unwrap();
        TransactWriteItem::builder().put(put).build()
    };
    let transaction = |writes| {
        TransactWriteItemsInput::builder().set_transact_items(Some(writes)).build().unwrap()
    };
    let own = || vec![put("records", key(ACME)), put("outbox", unsent(ACME, ACME))];
    assert_eq!(check(transaction(own()), Some(&acme())), Ok(()));

    let foreign_record = [own(), vec![put("records", key(GLOBEX))]].concat();
    let foreign_event = [own(), vec![put("outbox", unsent(GLOBEX, GLOBEX))]].concat();
    let other_table = [own(), vec![put("sessions", key(ACME))]].concat();
    let keys = KeysAndAttributes::builder().keys(key(ACME)).keys(key(GLOBEX)).build().unwrap();
    let batch = BatchGetItemInput::builder().request_items("records", keys).build().unwrap();

    assert_eq!(check(transaction(foreign_record), Some(&acme())), Err(Stop::Other));
    assert_eq!(check(transaction(foreign_event), Some(&acme())), Err(Stop::Outbox));
    assert_eq!(check(transaction(other_table), Some(&acme())), Err(Stop::Table));
    assert_eq!(check(batch, Some(&acme())), Err(Stop::Other));
}

#[test]
fn a_query_stays_in_the_partition_of_its_organization() {
    let own = (ORGANIZATION_ID, ACME);
    for condition in [
        "#partition = :partition",
        "#partition = :partition AND begins_with(#range, :range)",
        "#partition = :partition AND #range BETWEEN :range AND :range",
    ] {
        let input = || query("records", condition, own);
        assert_eq!(check(input(), Some(&acme())), Ok(()), "{condition}");
        assert_eq!(check(input(), None), Err(Stop::Nobody), "{condition}");
        assert_eq!(check(input(), Some(&Duty::of_relay())), Err(Stop::Relay), "{condition}");
        let other = query("records", condition, (ORGANIZATION_ID, GLOBEX));
        assert_eq!(check(other, Some(&acme())), Err(Stop::Other), "{condition}");
    }
    // Whatever is not written as the store writes it is not guessed at.
    for condition in [
        "",
        "#range = :range",
        "#partition > :partition",
        "#partition=:partition",
        "#partition = :partition OR #range = :range",
        "(#partition = :partition)",
        "#range = :range AND #partition = :partition",
        "#partition = :missing",
        "#missing = :partition",
        "Organization_ID = :partition",
    ] {
        let input = query("records", condition, own);
        assert_eq!(check(input, Some(&acme())), Err(Stop::Untold), "{condition}");
    }
    let by_another_key = query("trail", "#partition = :partition", ("Event_ID", ACME));
    assert_eq!(check(by_another_key, Some(&acme())), Err(Stop::Untold));
    let without = QueryInput::builder().table_name("records").build().unwrap();
    assert_eq!(check(without, Some(&acme())), Err(Stop::Untold));
}

#[test]
fn a_query_does_not_go_on_from_a_row_of_another_organization() {
    let from = |start: Item| {
        let mut input = query("records", "#partition = :partition", (ORGANIZATION_ID, ACME));
        input.exclusive_start_key = Some(start);
        check(input, Some(&acme()))
    };

    assert_eq!(from(key(ACME)), Ok(()));
    assert_eq!(from(key(GLOBEX)), Err(Stop::Other));
    assert_eq!(from(shard()), Err(Stop::Untold));
}

#[test]
fn a_call_puts_events_of_its_own_organization_into_the_outbox_and_does_nothing_else_there() {
    for (operation, input) in on_one_row("outbox", &unsent(ACME, ACME)) {
        let expected = if is_put(operation) { Ok(()) } else { Err(Stop::Outbox) };
        assert_eq!(guard().check(&input, Some(&acme())), expected, "{operation}");
        assert_eq!(guard().check(&input, None), Err(Stop::Nobody), "{operation}");
    }
    let mut unreadable = unsent(ACME, ACME);
    unreadable.insert("Payload".to_owned(), text("{}"));
    for row in [unsent(GLOBEX, ACME), unsent(ACME, GLOBEX), unreadable, shard()] {
        for (operation, input) in on_one_row("outbox", &row) {
            let stopped = guard().check(&input, Some(&acme()));
            assert_eq!(stopped, Err(Stop::Outbox), "{operation}");
        }
    }
    let waiting = query("outbox", "#partition = :partition", ("Shard", "00"));
    assert_eq!(check(waiting, Some(&acme())), Err(Stop::Outbox));
}

#[test]
fn the_relay_reads_and_empties_the_outbox_and_writes_no_event() {
    let relay = Duty::of_relay();
    for (operation, input) in on_one_row("outbox", &shard()) {
        let expected = if is_put(operation) { Err(Stop::Outbox) } else { Ok(()) };
        assert_eq!(guard().check(&input, Some(&relay)), expected, "{operation}");
    }
    let mut waiting = query("outbox", "#partition = :partition", ("Shard", "00"));
    waiting.exclusive_start_key = Some(shard());
    assert_eq!(check(waiting, Some(&relay)), Ok(()));
}

#[test]
fn a_table_that_is_none_of_ours_is_asked_for_nothing() {
    for table in ["sessions", "Records", "", "arn:aws:dynamodb:eu-central-1:1:table/records"] {
        for (operation, input) in on_one_row(table, &key(ACME)) {
            let stopped = guard().check(&input, Some(&acme()));
            assert_eq!(stopped, Err(Stop::Table), "{operation} on {table}");
        }
        let describe = DescribeTableInput::builder().table_name(table).build().unwrap();
        assert_eq!(check(describe, None), Err(Stop::Table));
    }
    let nowhere = GetItemInput::builder().set_key(Some(key(ACME))).build().unwrap();
    assert_eq!(check(nowhere, Some(&acme())), Err(Stop::Table));
}

#[test]
fn what_a_table_looks_like_may_be_asked_in_nobodys_name() {
    for table in ["records", "outbox", "trail"] {
        let describe = DescribeTableInput::builder().table_name(table).build().unwrap();
        assert_eq!(check(describe, None), Ok(()));
    }
}

#[test]
fn what_names_no_rows_is_stopped() {
    let acme = acme();
    let empty = [
        Input::erase(GetItemInput::builder().table_name("records").build().unwrap()),
        Input::erase(PutItemInput::builder().table_name("records").build().unwrap()),
        Input::erase(TransactWriteItemsInput::builder().build().unwrap()),
        Input::erase(TransactGetItemsInput::builder().build().unwrap()),
        Input::erase(BatchWriteItemInput::builder().build().unwrap()),
        Input::erase(BatchGetItemInput::builder().build().unwrap()),
    ];
    for input in empty {
        assert_eq!(guard().check(&input, Some(&acme)), Err(Stop::Untold), "{input:?}");
    }
}

#[test]
fn scans_partiql_and_all_other_operations_are_stopped_whoever_asks() {
    let statement = "SELECT * FROM records WHERE Organization_ID = 'org_acme'";
    let export = ExportTableToPointInTimeInput::builder().table_arn("records").s3_bucket("b");
    let inputs = [
        Input::erase(ScanInput::builder().table_name("records").build().unwrap()),
        Input::erase(ExecuteStatementInput::builder().statement(statement).build().unwrap()),
        Input::erase(BatchExecuteStatementInput::builder().build().unwrap()),
        Input::erase(ExecuteTransactionInput::builder().build().unwrap()),
        Input::erase(export.build().unwrap()),
        Input::erase(DeleteTableInput::builder().table_name("records").build().unwrap()),
        Input::erase("what AWS has yet to think of"),
    ];
    for duty in [None, Some(acme()), Some(Duty::of_relay())] {
        for input in &inputs {
            assert_eq!(guard().check(input, duty.as_ref()), Err(Stop::Operation), "{input:?}");
        }
    }
}

#[tokio::test]
async fn what_is_spawned_in_the_course_of_a_call_is_done_in_nobodys_name() {
    let current = || DUTY.try_with(Clone::clone).ok();
    let work = async {
        let here = current();
        let spawned = tokio::spawn(async move { DUTY.try_with(Clone::clone).ok() }).await.unwrap();
        (here, spawned)
    };

    let (here, spawned) = acme().during(work).await;

    assert_eq!((here, spawned, current()), (Some(acme()), None, None));
}

/// The files below a folder that make a client of DynamoDB.
fn makers(folder: &Path, root: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            makers(&path, root, found);
            continue;
        }
        let source = fs::read_to_string(&path).unwrap();
        let makes = ["Client::new(", "Client::from_conf("].iter().any(|it| source.contains(it));
        if makes && source.contains("aws_sdk_dynamodb") && !path.ends_with("guard/tests.rs") {
            found.push(path.strip_prefix(root).unwrap().display().to_string());
        }
    }
}

#[test]
fn no_client_of_dynamodb_goes_without_the_guard_but_that_of_provision() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();

    makers(&root, &root, &mut found);

    found.sort_unstable();
    assert_eq!(found, ["store/mod.rs", "store/tables.rs"]);
}
