use super::{PASSWORD, World, add, from, secret};
use crate::{
    Accepting, Authentication, Email, Happening, InvitationError, Member, NewClient, NewPassword, Right, Role, SignedIn, links::LinkKind,
    oauth::ClientKey,
};
use gatehouse_types::Secret;
use std::time::Duration;

const BEN: &str = "ben@example.com";

fn ben() -> Email {
    BEN.parse().expect("an address")
}

fn password() -> NewPassword {
    NewPassword::new(secret(PASSWORD)).expect("good")
}

async fn invited(world: &World, by: &Member, role: Role) -> Secret {
    world.accounts.invite(by, &ben(), role).await.expect("invited");
    world.link(BEN, LinkKind::Invitation).await
}

async fn accept(world: &World, link: &Secret) -> Result<(), InvitationError> {
    let who = Accepting::New { name: "Ben", password: &password() };
    world.accounts.accept_invitation(link, who, &from("203.0.113.7")).await.map(drop)
}

#[tokio::test]
async fn somebody_new_gets_an_account_and_the_role_by_the_link_once() {
    let world = World::new().await;
    let home = world.ann_at_home().await;
    let link = invited(&world, &home, Role::Operator).await;
    let offer = world.accounts.offered(&link).await.expect("good");
    assert_eq!((offer.role, offer.account, offer.email.as_str()), (Role::Operator, false, BEN));
    accept(&world, &link).await.expect("accepted");
    assert!(matches!(accept(&world, &link).await, Err(InvitationError::Over)));
    let members = world.accounts.members(&home).await.expect("members");
    assert!(members.iter().any(|member| member.email.as_str() == BEN && member.role == Role::Operator));
    let signed_in = world.accounts.sign_in(BEN, &secret(PASSWORD), &from("203.0.113.7")).await.expect("signed in");
    let SignedIn::Session(session) = signed_in else { panic!("no second factor is on") };
    assert!(world.accounts.person(session.person).await.expect("read").expect("there").confirmed, "the link came to the address");
    let history = world.accounts.history(session.person, None, 10).await.expect("history");
    assert!(history.iter().any(|entry| matches!(entry.happening, Happening::JoinedOrganisation { role: Role::Operator, .. })));
}

#[tokio::test]
async fn somebody_with_an_account_accepts_when_signed_in_and_only_for_their_own_address() {
    let world = World::new().await;
    let home = world.ann_at_home().await;
    let (owner_of_address, other) = (add(&world.accounts, BEN).await, add(&world.accounts, "cleo@example.com").await);
    let link = invited(&world, &home, Role::Viewer).await;
    assert!(world.accounts.offered(&link).await.expect("good").account);
    assert!(matches!(accept(&world, &link).await, Err(InvitationError::SignIn)));
    let here = from("203.0.113.7");
    let theft = world.accounts.accept_invitation(&link, Accepting::Person(other.id), &here).await;
    assert!(matches!(theft, Err(InvitationError::ForAnother)));
    world.accounts.accept_invitation(&link, Accepting::Person(owner_of_address.id), &here).await.expect("accepted");
    let again = world.accounts.invite(&home, &ben(), Role::Viewer).await;
    assert!(matches!(again, Err(InvitationError::Member)));
}

#[tokio::test]
async fn an_invitation_is_listed_withdrawn_replaced_and_over_after_a_week() {
    let world = World::new().await;
    let home = world.ann_at_home().await;
    let first = invited(&world, &home, Role::Viewer).await;
    let second = invited(&world, &home, Role::Operator).await;
    assert!(matches!(accept(&world, &first).await, Err(InvitationError::Over)), "it was replaced");
    let listed = world.accounts.invitations(&home).await.expect("listed");
    assert_eq!(listed.iter().map(|invitation| invitation.role).collect::<Vec<_>>(), [Role::Operator]);
    world.accounts.withdraw_invitation(&home, &listed[0].id).await.expect("withdrawn");
    assert!(matches!(world.accounts.withdraw_invitation(&home, &listed[0].id).await, Err(InvitationError::Unknown)));
    assert!(matches!(accept(&world, &second).await, Err(InvitationError::Over)));
    let third = invited(&world, &home, Role::Viewer).await;
    world.pass(Duration::from_secs(7 * 24 * 3600));
    assert!(matches!(accept(&world, &third).await, Err(InvitationError::Over)));
    assert!(world.accounts.invitations(&home).await.expect("listed").is_empty());
    assert_eq!(world.accounts.forget_ended_invitations().await.expect("forgotten"), 1);
}

#[tokio::test]
async fn nobody_invites_somebody_mightier_or_keeps_that_power_when_the_own_role_is_gone() {
    let world = World::new().await;
    let home = world.ann_at_home().await;
    let cleo = add(&world.accounts, "cleo@example.com").await;
    world.accounts.invite(&home, &"cleo@example.com".parse().expect("address"), Role::Admin).await.expect("invited");
    let link = world.link("cleo@example.com", LinkKind::Invitation).await;
    world.accounts.accept_invitation(&link, Accepting::Person(cleo.id), &from("203.0.113.7")).await.expect("accepted");
    let admin = Member::of(cleo.id, home.organisation, Role::Admin);
    for role in [Role::Owner, Role::Admin] {
        assert!(matches!(world.accounts.invite(&admin, &ben(), role).await, Err(InvitationError::NotAppointed { .. })));
    }
    let owners = invited(&world, &home, Role::Owner).await;
    let id = world.accounts.invitations(&home).await.expect("listed")[0].id.clone();
    let withdrawn = world.accounts.withdraw_invitation(&admin, &id).await;
    assert!(matches!(withdrawn, Err(InvitationError::NotAppointed { .. })));
    drop(owners);
    world.accounts.withdraw_invitation(&home, &id).await.expect("by an owner");
    let link = invited(&world, &admin, Role::Viewer).await;
    world.accounts.give_role(&home, cleo.id, Role::Viewer).await.expect("given");
    assert!(matches!(accept(&world, &link).await, Err(InvitationError::Over)), "who invited may not any more");
}

#[tokio::test]
async fn an_address_gets_so_many_invitations_an_hour() {
    let world = World::new().await;
    let home = world.ann_at_home().await;
    for _ in 0..5 {
        world.accounts.invite(&home, &ben(), Role::Viewer).await.expect("invited");
    }
    let sixth = world.accounts.invite(&home, &ben(), Role::Viewer).await;
    assert!(matches!(sixth, Err(InvitationError::Mail(_))), "{sixth:?}");
    assert_eq!(world.accounts.invitations(&home).await.expect("listed").len(), 1, "the one that is out stays");
}

#[tokio::test]
async fn an_invitation_of_a_program_is_worth_nothing_without_the_program() {
    for for_somebody in [false, true] {
        let world = World::new().await;
        let home = world.ann_at_home().await;
        let new = NewClient {
            name: "agent".to_owned(),
            role: Role::Admin,
            rights: vec![Right::ManageMembers],
            authentication: Authentication::Secret,
            redirect_uris: Vec::new(),
            keys: Vec::new(),
            certificate: None,
            bound: false,
            device_code: false,
        };
        let (client, _) = world.accounts.make_client(&home, new).await.expect("made");
        let id = client.id.to_string();
        let by = Member { person: home.person.filter(|_| for_somebody), ..home.at_most(Role::Admin).through(ClientKey::of(&id)) };
        let link = invited(&world, &by, Role::Viewer).await;
        assert_eq!(world.accounts.offered(&link).await.expect("good").role, Role::Viewer);
        world.accounts.remove_client(&home, &id).await.expect("removed");
        assert!(matches!(accept(&world, &link).await, Err(InvitationError::Over)), "{for_somebody}");
    }
}

#[tokio::test]
async fn nobody_replaces_an_invitation_that_they_could_not_withdraw() {
    let world = World::new().await;
    let home = world.ann_at_home().await;
    let admin = home.at_most(Role::Admin);
    let link = invited(&world, &home, Role::Owner).await;
    let replaced = world.accounts.invite(&admin, &ben(), Role::Viewer).await;
    assert!(matches!(replaced, Err(InvitationError::NotAppointed { role: Role::Owner, .. })), "{replaced:?}");
    assert_eq!(world.accounts.offered(&link).await.expect("good").role, Role::Owner);
    world.pass(Duration::from_secs(7 * 24 * 3600));
    world.accounts.invite(&admin, &ben(), Role::Viewer).await.expect("that one is over");
}

#[tokio::test]
async fn an_organisation_and_a_person_invite_so_many_in_a_day_whatever_they_withdraw() {
    let world = World::with(|config| config.invitations_per_day = 3).await;
    let home = world.ann_at_home().await;
    let cleo = add(&world.accounts, "cleo@example.com").await;
    world.accounts.enter(cleo.id, home.organisation, Role::Owner).await;
    let elsewhere = world.accounts.add_organisation(world.ann.id, "Acme").await.expect("made").id;
    let there = Member::of(world.ann.id, elsewhere, Role::Owner);
    let invite = async |by: &Member, name: &str| {
        let made = world.accounts.invite(by, &format!("{name}@example.com").parse().expect("an address"), Role::Viewer).await?;
        world.accounts.withdraw_invitation(by, &made.id).await
    };
    for (by, name) in [(&home, "one"), (&there, "two"), (&home, "three")] {
        invite(by, name).await.expect("invited");
    }
    let day = Duration::from_secs(24 * 3600);
    for by in [&home, &there] {
        let more = invite(by, "four").await;
        assert!(matches!(more, Err(InvitationError::TooFast { wait }) if wait == day), "the person: {more:?}");
    }
    let other = Member::of(cleo.id, home.organisation, Role::Owner);
    invite(&other, "five").await.expect("the organisation's third");
    assert!(matches!(invite(&other, "six").await, Err(InvitationError::TooFast { .. })), "the organisation");
    world.pass(day);
    invite(&home, "seven").await.expect("another day");
    assert_eq!(world.accounts.forget_paces().await.expect("forgotten"), 2, "the other organisation's and Cleo's");
}
