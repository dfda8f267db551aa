use crate::{DAY, HERE, HOUR, START, World};
use gatehouse_ca::{CeremonyError, ClockFault, Fact, HaltCause, Issuance, IssueError, Reason};
use gatehouse_store::Position;
use std::time::Duration;

#[tokio::test]
async fn a_halt_stops_issuing_at_once_on_every_handle_and_resuming_lifts_it() {
    let world = World::new().await;
    let elsewhere = world.again().await;
    let first = world.identity(1).await.expect("issues");
    elsewhere.halt("a laptop was stolen").await.expect("halts");
    let refused = world.identity(2).await;
    assert!(matches!(&refused, Err(IssueError::Halted { cause: HaltCause::Operator { note }, .. }) if note == "a laptop was stolen"));
    assert!(matches!(world.authority.roll_over(world.seat(), &HERE).await, Err(CeremonyError::Issue(IssueError::Halted { .. }))));
    world.authority.revoke(&first.id, Reason::KeyCompromise).await.expect("revocation goes on");
    assert!(elsewhere.resume("operator").await.expect("resumes"));
    assert!(world.identity(2).await.is_ok());
    assert!(!elsewhere.resume("operator").await.expect("nothing to lift"));
}

#[tokio::test]
async fn a_halt_survives_a_restart_and_keeps_its_first_reason() {
    let world = World::new().await;
    world.authority.halt("first").await.expect("halts");
    world.authority.halt("second").await.expect("is halted");
    let Issuance::Halted { cause, since } = world.again().await.issuance().await.expect("reads") else { panic!("not halted") };
    assert_eq!((cause, since), (HaltCause::Operator { note: "first".to_owned() }, START));
    let events = world.authority.facts(Position(1), 100).await.expect("reads");
    assert_eq!(events.iter().filter(|(_, _, fact)| matches!(fact, Fact::Halted { .. })).count(), 1);
}

#[tokio::test]
async fn a_clock_that_jumps_forwards_halts_issuing_until_an_operator_lifts_it() {
    let world = World::new().await;
    world.identity(1).await.expect("issues");
    world.clock.advance(HOUR);
    world.clock.set(START + HOUR + Duration::from_secs(301));
    let refused = world.identity(2).await;
    assert!(matches!(refused, Err(IssueError::Clock(ClockFault::JumpedForwards { .. }))), "{refused:?}");
    // Setting the clock right again is not enough: somebody has to look.
    world.clock.set(START + HOUR);
    assert!(matches!(world.identity(2).await, Err(IssueError::Halted { cause: HaltCause::Clock { .. }, .. })));
    assert!(world.authority.resume("operator").await.expect("resumes"));
    assert!(world.identity(2).await.is_ok());
}

#[tokio::test]
async fn a_clock_before_the_last_committed_event_halts_issuing_also_after_a_restart() {
    let world = World::new().await;
    world.clock.advance(30 * DAY);
    world.identity(1).await.expect("issues");
    world.clock.set(START);
    let restarted = World { authority: world.again().await, ..world };
    let refused = restarted.identity(2).await;
    assert!(matches!(refused, Err(IssueError::Clock(ClockFault::Behind { .. }))), "{refused:?}");
    assert!(restarted.authority.resume("operator").await.expect("the clock is accepted as it is"));
    assert!(restarted.identity(2).await.is_ok());
    let again = World { authority: restarted.again().await, ..restarted };
    assert!(again.identity(3).await.is_ok(), "the accepted clock stays accepted after a restart");
}

#[tokio::test]
async fn months_without_a_commit_are_no_jump_after_a_restart() {
    let world = World::new().await;
    world.clock.set(START + 400 * DAY);
    let restarted = World { authority: world.again().await, ..world };
    assert!(restarted.identity(1).await.is_ok());
}
