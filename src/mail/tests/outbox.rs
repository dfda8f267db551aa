use super::{LINK, Notice, Reset, START, Told, World, address};
use crate::{
    Config, EncloseError, Fact, OutboxError, Round, STREAM,
    carrier::Blame,
    rows::{DEAD, DUE, LETTERS},
};
use gatehouse_store::{Batch, Position, Range};
use std::{sync::Arc, time::Duration};

const HOUR: Duration = Duration::from_secs(3600);

async fn rows(world: &World) -> usize {
    let mut rows = 0;
    for table in [LETTERS, DUE, DEAD] {
        rows += world.outbox.events.store().scan(table, Range::all(), 100).await.expect("read").len();
    }
    rows
}

async fn facts(world: &World) -> Vec<Fact> {
    let stream = STREAM.parse().expect("a stream");
    let events = world.outbox.events.read(&stream, Position::START.next(), 100).await.expect("read");
    events.iter().map(|event| event.decode().expect("a fact")).collect()
}

#[tokio::test]
async fn a_letter_lies_sealed_in_the_store_and_is_gone_when_it_was_taken() {
    let world = World::new().await;
    world.write("ann@example.com", &Reset { until: None }).await;
    let kept = world.outbox.events.store().scan(LETTERS, Range::all(), 10).await.expect("read");
    assert!(kept.iter().all(|(_, entry)| !entry.value.windows(16).any(|part| LINK.as_bytes().windows(16).any(|link| link == part))));
    let carrier = Told::default();
    assert_eq!(world.deliver(&carrier).await, Round { sent: 1, ..Round::default() });
    let (envelope, letter) = carrier.taken().remove(0);
    assert_eq!((envelope.to, envelope.from), (address("ann@example.com"), address("gatehouse@localhost")));
    assert!(letter.contains("secret=3Dabcdefghijklmnop") || letter.contains(LINK), "{letter}");
    assert_eq!(rows(&world).await, 0);
    assert!(matches!(facts(&world).await.as_slice(), [Fact::Queued { letter, .. }, Fact::Sent { .. }] if letter == "reset"));
}

#[tokio::test]
async fn a_letter_whose_batch_is_refused_does_not_exist() {
    let world = World::new().await;
    world.write("ann@example.com", &Notice).await;
    let id = world.outbox.letters().await.expect("letters").remove(0).id;
    let batch =
        Batch::new().require_absent(LETTERS, world.outbox.events.store().scan(LETTERS, Range::all(), 1).await.expect("read")[0].0.clone());
    let batch = world.outbox.enclose(batch, &address("ben@example.com"), &Notice).await.expect("enclosed");
    assert!(world.outbox.events.commit(batch).await.is_err());
    let letters = world.outbox.letters().await.expect("letters");
    assert_eq!(letters.iter().map(|letter| &letter.id).collect::<Vec<_>>(), [&id]);
}

#[tokio::test]
async fn what_failed_is_tried_again_later_with_the_same_bytes() {
    let world = World::new().await;
    world.write("ann@example.com", &Notice).await;
    let carrier = Told::to_refuse(&[Blame::Moment, Blame::Moment]);
    assert_eq!(world.deliver(&carrier).await, Round { postponed: 1, ..Round::default() });
    assert_eq!(world.deliver(&carrier).await, Round::default(), "it is not due yet");
    world.pass(Duration::from_secs(38));
    assert_eq!(world.deliver(&carrier).await.postponed, 1);
    world.pass(Duration::from_secs(38));
    assert_eq!(world.deliver(&carrier).await, Round::default(), "the second wait is longer");
    let waiting = world.outbox.letters().await.expect("letters").remove(0);
    assert_eq!((waiting.attempts, waiting.problem.as_deref()), (2, Some("told to")));
    world.pass(Duration::from_secs(38));
    assert_eq!(world.deliver(&carrier).await.sent, 1);
    assert!(carrier.taken()[0].1.contains(&format!("Message-ID: <{}@localhost>", waiting.id)));
}

#[tokio::test]
async fn a_server_that_is_away_is_not_asked_for_every_letter() {
    let world = World::new().await;
    for person in ["ann", "ben", "cleo"] {
        world.write(&format!("{person}@example.com"), &Notice).await;
    }
    let carrier = Told::to_refuse(&[Blame::Server]);
    let away = world.deliver(&carrier).await;
    assert_eq!(away, Round { postponed: 1, server_away: true, ..Round::default() });
    assert_eq!(world.deliver(&carrier).await.sent, 2, "the others did not have to wait");
}

#[tokio::test]
async fn a_refusal_for_good_is_kept_for_an_operator_who_may_have_it_tried_again_or_dropped() {
    let world = World::new().await;
    world.write("ann@example.com", &Notice).await;
    world.write("ben@example.com", &Notice).await;
    let carrier = Told::to_refuse(&[Blame::Letter, Blame::Letter]);
    assert_eq!(world.deliver(&carrier).await.given_up, 2);
    world.pass(HOUR);
    assert_eq!(world.deliver(&carrier).await, Round::default());
    let dead = world.outbox.letters().await.expect("letters");
    assert!(dead.len() == 2 && dead.iter().all(|letter| letter.due.is_none()));
    assert_eq!(world.outbox.retry(&dead[0].id).await.expect("there").due, Some(START + HOUR));
    world.outbox.discard(&dead[1].id).await.expect("there");
    assert_eq!(world.deliver(&carrier).await.sent, 1);
    assert_eq!(rows(&world).await, 0);
    for unknown in [dead[1].id.as_str(), "", "zz", "00"] {
        assert!(matches!(world.outbox.retry(unknown).await, Err(OutboxError::Unknown)), "{unknown}");
        assert!(matches!(world.outbox.discard(unknown).await, Err(OutboxError::Unknown)), "{unknown}");
    }
}

#[tokio::test]
async fn a_letter_is_given_up_when_its_time_or_its_links_time_is_over() {
    let world = World::new().await;
    world.write("ann@example.com", &Notice).await;
    world.write("ben@example.com", &Reset { until: Some(START + HOUR) }).await;
    world.pass(HOUR);
    let carrier = Told::to_refuse(&[Blame::Moment]);
    let round = world.deliver(&carrier).await;
    assert_eq!((round.given_up, round.postponed), (1, 1));
    world.pass(HOUR * 48);
    assert_eq!(world.deliver(&carrier).await.given_up, 1);
    assert!(carrier.taken().is_empty());
}

#[tokio::test]
async fn dead_letters_are_forgotten_after_a_while_and_waiting_ones_are_not() {
    let world = World::new().await;
    world.write("ann@example.com", &Notice).await;
    world.deliver(&Told::to_refuse(&[Blame::Letter])).await;
    world.write("ben@example.com", &Notice).await;
    world.pass(HOUR * 24 * 7);
    assert_eq!(world.outbox.forget_old().await.expect("forgotten"), 0);
    world.pass(Duration::from_millis(1));
    assert_eq!(world.outbox.forget_old().await.expect("forgotten"), 1);
    assert_eq!(world.outbox.letters().await.expect("letters").len(), 1);
}

#[tokio::test]
async fn the_same_letter_goes_to_the_same_address_so_often_and_another_one_all_the_same() {
    let world = World::with(Config { per_recipient: 2, ..Config::default() }).await;
    world.write("ann@example.com", &Notice).await;
    world.write("ANN@example.com", &Notice).await;
    let third = world.outbox.enclose(Batch::new(), &address("ann@example.com"), &Notice).await;
    assert!(matches!(third, Err(EncloseError::Throttled { wait }) if wait == HOUR), "{third:?}");
    let without = world.outbox.enclose_if_possible(Batch::new(), &address("ann@example.com"), &Notice).await.expect("goes without");
    assert!(without.is_empty());
    world.write("ann@example.com", &Reset { until: None }).await;
    world.write("ben@example.com", &Notice).await;
    world.pass(HOUR);
    world.outbox.forget_old().await.expect("forgotten");
    world.write("ann@example.com", &Notice).await;
}

#[tokio::test]
async fn two_letters_at_the_same_moment_are_not_counted_as_one() {
    let world = World::with(Config { per_recipient: 1, ..Config::default() }).await;
    let (to, outbox) = (address("ann@example.com"), &world.outbox);
    let first = outbox.enclose(Batch::new(), &to, &Notice).await.expect("enclosed");
    let second = outbox.enclose(Batch::new(), &to, &Notice).await.expect("enclosed");
    outbox.events.commit(first).await.expect("committed");
    assert!(outbox.events.commit(second).await.is_err(), "decided anew, it would be refused");
}

#[tokio::test]
async fn letters_of_a_kind_take_their_share_of_the_outbox_and_leave_the_others_theirs() {
    let world = World::with(Config { outbox: 48, ..Config::default() }).await;
    for person in 0..3 {
        world.write(&format!("person{person}@example.com"), &Notice).await;
    }
    let enclose = async || world.outbox.enclose(Batch::new(), &address("ann@example.com"), &Notice).await;
    assert!(matches!(enclose().await, Err(EncloseError::Full)));
    world.outbox.measure().await.expect("counted");
    assert!(matches!(enclose().await, Err(EncloseError::Full)), "counted anew");
    world.write("ann@example.com", &Reset { until: None }).await;
    assert_eq!(world.deliver(&Told::to_refuse(&[Blame::Moment])).await.sent, 3);
    world.outbox.measure().await.expect("counted");
    for person in 3..5 {
        world.write(&format!("person{person}@example.com"), &Notice).await;
    }
    assert!(matches!(enclose().await, Err(EncloseError::Full)), "the one that is tried again later waits");
    let waiting = world.outbox.letters().await.expect("letters").remove(0);
    world.outbox.retry(&waiting.id).await.expect("there");
    world.outbox.measure().await.expect("counted");
    assert!(matches!(enclose().await, Err(EncloseError::Full)), "as does one that an operator has tried again");
}

#[tokio::test]
async fn letters_that_were_given_up_take_no_room_and_the_oldest_of_them_gives_way() {
    let world = World::with(Config { outbox: 16, ..Config::default() }).await;
    for person in 0..18 {
        world.write(&format!("person{person}@example.com"), &Notice).await;
        assert_eq!(world.deliver(&Told::to_refuse(&[Blame::Letter])).await.given_up, 1);
        world.outbox.measure().await.expect("counted");
        world.pass(Duration::from_secs(1));
    }
    let kept: Vec<_> = world.outbox.letters().await.expect("letters").into_iter().map(|letter| letter.to).collect();
    assert_eq!(kept, (2..18).map(|person| address(&format!("person{person}@example.com"))).collect::<Vec<_>>());
    world.write("ann@example.com", &Reset { until: None }).await;
}

#[tokio::test]
async fn a_new_letter_wakes_the_task_that_delivers() {
    let world = World::new().await;
    let carrier = Arc::new(Told::default());
    let (outbox, taker) = (world.outbox.clone(), carrier.clone());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let task = tokio::spawn(async move {
        outbox
            .run(taker, async {
                let _ = stopped.await;
            })
            .await;
    });
    world.write("ann@example.com", &Notice).await;
    while !world.outbox.letters().await.expect("letters").is_empty() {
        tokio::task::yield_now().await;
    }
    stop.send(()).expect("it runs");
    task.await.expect("it ended");
    assert_eq!(carrier.taken().len(), 1);
}
