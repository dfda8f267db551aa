//! Other people's servers start, answer and go away.

use gatehouse_testkit::{Durability, Nats, Postgres};

#[test]
fn postgres_answers_and_waits_for_its_disk_when_asked() {
    for (durability, expected) in [(Durability::On, "on"), (Durability::Off, "off")] {
        let Some(server) = Postgres::start(durability, None).expect("start") else { return };
        assert_eq!(server.sql("show fsync; show synchronous_commit;").expect("sql"), format!("{expected}\n{expected}\n"));
        assert!(server.sql("select nonsense").is_err());
    }
}

#[test]
fn nats_accepts_connections() {
    let Some(server) = Nats::start().expect("start") else { return };
    assert!(gatehouse_testkit::process::accepts(server.address()));
}
