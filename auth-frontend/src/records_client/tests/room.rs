//! Replicas that have no room, or fail at once, beside others that work.

use super::*;

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(10);
/// How many calls are under way at a time, and how often.
const AT_A_TIME: usize = 20;
const ROUNDS: usize = 20;

/// Asks for much at a time, and answers what failed of it.
async fn load(client: &RecordsClient) -> Vec<RecordsError> {
    let ask_again_and_again = (0..AT_A_TIME).map(|_| async {
        let mut failed = Vec::new();
        for _ in 0..ROUNDS {
            failed.extend(ask(client).await.err());
        }
        failed
    });
    join_all(ask_again_and_again).await.into_iter().flatten().collect()
}

#[tokio::test]
async fn a_replica_that_is_full_or_fails_at_once_gets_few_calls_and_none_is_lost_by_it() {
    for does in [Does::Exhausted("FULL", LONG), Does::Fail(Code::Unavailable)] {
        let free = Stand::start(Does::AnswerAfter(Duration::from_millis(20)));
        let other = Stand::start(does);
        let client = client(&[other.address, free.address]);

        let failed = load(&client).await;

        assert!(failed.is_empty(), "{does:?}: {failed:?}");
        // Of the first that are under way together, and of those at the end of each of its rests.
        assert!((1..=100).contains(&other.calls()), "{does:?}: {}", other.calls());
        assert_eq!(free.calls(), AT_A_TIME * ROUNDS, "{does:?}");
    }
}

#[tokio::test]
async fn a_replica_with_a_fault_of_its_own_gets_few_calls() {
    let sound = Stand::start(Does::AnswerAfter(Duration::from_millis(20)));
    let faulty = Stand::start(Does::Fail(Code::Internal));
    let client = client(&[faulty.address, sound.address]);

    let failed = load(&client).await;

    assert!((1..=100).contains(&faulty.calls()), "{}", faulty.calls());
    assert_eq!(failed.len(), faulty.calls(), "what asking again does not change");
}

#[tokio::test]
async fn a_replica_with_little_room_is_used_for_what_it_has() {
    let small = Stand::start(Does::AnswerSome(4, Duration::from_millis(20)));
    let large = Stand::start(Does::AnswerAfter(Duration::from_millis(20)));
    let client = client(&[small.address, large.address]);

    let failed = load(&client).await;

    assert!(failed.is_empty(), "{failed:?}");
    let all = AT_A_TIME * ROUNDS;
    let served_by_small = all - large.calls();
    assert!(served_by_small > all / 20, "{served_by_small}");
    assert!(small.calls() - served_by_small < all / 4, "{} asked of it", small.calls());
}

#[tokio::test]
async fn the_one_replica_with_room_is_found_among_full_ones() {
    let full = [Does::Exhausted("FULL", LONG); 2].map(Stand::start);
    let free = Stand::start(Does::Answer);
    let client = client(&[full[0].address, full[1].address, free.address]);

    for _ in 0..20 {
        ask(&client).await.unwrap();
    }

    assert_eq!((full[0].calls(), full[1].calls(), free.calls()), (1, 1, 20));
}

#[tokio::test]
async fn where_all_are_full_each_call_is_refused_at_once_after_one_attempt() {
    let stands = [Does::Exhausted("FULL", LONG); 2].map(Stand::start);
    let client = client(&stands.each_ref().map(|stand| stand.address));
    ask(&client).await.unwrap_err();
    let known_to_be_full = stands.each_ref().map(Stand::calls);

    for _ in 0..10 {
        let refused = ask(&client).await;

        assert!(
            matches!(&refused, Err(RecordsError::Throttled { retry_after: Some(LONG), .. })),
            "{refused:?}"
        );
    }

    assert_eq!(known_to_be_full, [1, 1], "of the second nothing was known");
    assert_eq!(stands[0].calls() + stands[1].calls(), 2 + 10);
}

#[tokio::test]
async fn a_replica_that_was_full_gets_its_share_again_after_the_time_that_it_asked_for() {
    let stands = [Does::Exhausted("FULL", Duration::from_millis(300)), Does::Answer];
    let stands = stands.map(Stand::start);
    let client = client(&stands.each_ref().map(|stand| stand.address));
    let began = Instant::now();
    while stands[0].calls() == 0 {
        ask(&client).await.unwrap();
    }
    stands[0].does(Does::Answer);

    ask_until(&client, || stands[0].calls() > 1).await;
    let waited = began.elapsed();
    let (first, second) = (stands[0].calls(), stands[1].calls());
    for _ in 0..20 {
        ask(&client).await.unwrap();
    }

    assert!(waited >= Duration::from_millis(300), "{waited:?}");
    assert_eq!((stands[0].calls() - first, stands[1].calls() - second), (10, 10));
}

#[tokio::test]
async fn the_only_replica_is_asked_even_if_it_was_full_or_failing_just_now() {
    for does in [Does::Exhausted("FULL", LONG), Does::Fail(Code::Internal)] {
        let stand = Stand::start(does);
        let client = client(&[stand.address]);
        ask(&client).await.unwrap_err();
        stand.does(Does::Answer);

        let answered = ask(&client).await;

        assert!(answered.is_ok(), "{does:?}: {answered:?}");
        assert_eq!(stand.calls(), 2, "{does:?}");
    }
}

#[tokio::test]
async fn whose_organization_has_its_share_of_a_replica_is_served_by_another() {
    let strict = Stand::start(Does::Exhausted("OVER_SHARE", LONG));
    let answers = Stand::start(Does::Answer);
    // With 50 pages in flight, 100 attempts are at hand for when replicas fail, and stay so.
    let client = client(&[strict.address, answers.address]);

    for _ in 0..300 {
        ask(&client).await.unwrap();
    }

    assert_eq!(answers.calls(), 300);
    assert!(strict.calls() >= 150, "{}", strict.calls());
}

#[tokio::test]
async fn whose_organization_has_its_share_of_all_replicas_is_told_to_come_back() {
    let stands = [Does::Exhausted("OVER_SHARE", LONG); 2].map(Stand::start);
    let client = client(&stands.each_ref().map(|stand| stand.address));

    let refused = ask(&client).await;

    assert!(
        matches!(&refused, Err(RecordsError::RateLimited { retry_after: Some(LONG), .. })),
        "{refused:?}"
    );
    assert_eq!(stands.each_ref().map(Stand::calls), [1, 1]);
}

#[tokio::test]
async fn who_asks_too_often_is_refused_by_any_replica_and_none_is_avoided_for_it() {
    for reason in ["RATE_LIMITED", "THROTTLED"] {
        let strict = Stand::start(Does::Exhausted(reason, Duration::from_millis(50)));
        let answers = Stand::start(Does::Answer);
        let client = client(&[strict.address, answers.address]);
        let mut refused = 0;

        for _ in 0..20 {
            refused += usize::from(ask(&client).await.is_err());
        }

        assert_eq!((refused, strict.calls(), answers.calls()), (10, 10, 10), "{reason}");
    }
}
