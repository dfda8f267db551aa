use super::{PASSWORD, World, add, authorization::App, doors::Door, from, secret};
use crate::{AccountError, NewToken, Right, Role, Sources, oauth::CONSENTS};

#[tokio::test]
async fn an_account_goes_with_all_that_is_its_own() {
    let world = World::new().await;
    let here = from("192.0.2.1");
    let session = world.sign_in(&here).await;
    let home = world.ann_at_home().await;
    let token = NewToken { name: "x".to_owned(), rights: vec![Right::ReadMembers], sources: Sources::Any, expires: None };
    let (_, token) = world.accounts.make_token(&home, token, &here).await.expect("made");
    world.accounts.remove_account(&world.ann_lately(), &secret(PASSWORD), &here).await.expect("removed");
    assert!(world.accounts.session(&session.secret).await.expect("read").is_none());
    assert!(world.accounts.token(&token, &here).await.is_err());
    assert!(world.accounts.person(world.ann.id).await.expect("read").is_none());
    assert!(world.accounts.is_suspended(home.organisation).await.expect("read"), "what is gone acts no more");
    assert!(world.history().await.is_empty(), "its key is gone");
    assert!(matches!(world.refused("ann@example.com", PASSWORD, &here).await, crate::SignInError::Wrong));
    assert_eq!(world.post().await.last().expect("a letter").subject, "Your account is gone");
    add(&world.accounts, "ann@example.com").await;
}

#[tokio::test]
async fn nothing_is_left_of_what_somebody_let_programs_do() {
    let door = Door::new().await;
    let app = App::new(&door).await;
    app.code(&door, &[]).await;
    let consents = async || door.world.accounts.events.store().scan(CONSENTS, gatehouse_store::Range::all(), 10).await.expect("read").len();
    assert_eq!(consents().await, 1);
    door.world.accounts.remove_account(&door.world.ann_lately(), &secret(PASSWORD), &from("192.0.2.1")).await.expect("removed");
    assert_eq!(consents().await, 0);
}

#[tokio::test]
async fn leaving_takes_the_password() {
    let world = World::new().await;
    let wrong = world.accounts.remove_account(&world.ann_lately(), &secret("small boats float"), &from("192.0.2.1")).await;
    assert!(matches!(wrong, Err(AccountError::Wrong)));
    assert!(world.accounts.person(world.ann.id).await.expect("read").is_some());
}

#[tokio::test]
async fn organisations_that_would_have_no_owner_stand_in_the_way_by_name() {
    let world = World::new().await;
    let here = from("192.0.2.1");
    let acme = world.accounts.add_organisation(world.ann.id, "Acme").await.expect("made");
    let ben = add(&world.accounts, "ben@example.com").await;
    let batch = world.accounts.with_member(gatehouse_store::Batch::new(), acme.id, ben.id, Role::Operator).expect("a batch");
    world.accounts.events.commit(batch).await.expect("committed");
    let refused = world.accounts.remove_account(&world.ann_lately(), &secret(PASSWORD), &here).await;
    assert!(matches!(&refused, Err(AccountError::LastOwner { organisations }) if *organisations == ["Acme"]), "{refused:?}");
    let owner = crate::Member::of(world.ann.id, acme.id, Role::Owner).lately(true);
    world.accounts.give_role(&owner, ben.id, Role::Owner).await.expect("given");
    world.accounts.remove_account(&world.ann_lately(), &secret(PASSWORD), &here).await.expect("removed");
    let left = crate::Member::of(ben.id, acme.id, Role::Owner);
    let members = world.accounts.members(&left).await.expect("members");
    assert_eq!(members.iter().map(|member| member.person).collect::<Vec<_>>(), [ben.id]);
}
