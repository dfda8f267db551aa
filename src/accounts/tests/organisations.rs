use super::{World, add};
use crate::{Accounts, Member, MemberError, PersonInfo, Role, organisation::MOST_MEMBERSHIPS};
use gatehouse_types::OrganisationId;

/// Acme, whose owner is Ann and in which Ben is something.
async fn acme(world: &World, role: Role) -> (Member, PersonInfo) {
    let acme = world.accounts.add_organisation(world.ann.id, "Acme").await.expect("made");
    let ben = add(&world.accounts, "ben@example.com").await;
    world.accounts.enter(ben.id, acme.id, role).await;
    (Member::of(world.ann.id, acme.id, Role::Owner).lately(true), ben)
}

impl Accounts {
    /// Makes somebody a member without being asked: invitations are another matter.
    pub(crate) async fn enter(&self, person: gatehouse_types::PersonId, organisation: OrganisationId, role: Role) {
        let batch = self.with_member(gatehouse_store::Batch::new(), organisation, person, role).expect("a batch");
        self.events.commit(batch).await.expect("entered");
    }
}

#[tokio::test]
async fn members_are_listed_with_their_roles() {
    let world = World::new().await;
    let (owner, ben) = acme(&world, Role::Viewer).await;
    let mut members: Vec<_> = world.accounts.members(&owner).await.expect("members").into_iter().map(|m| (m.email, m.role)).collect();
    members.sort_by_key(|(email, _)| email.to_string());
    assert_eq!(members, [(world.ann.email.clone(), Role::Owner), (ben.email.clone(), Role::Viewer)]);
    assert_eq!(world.accounts.organisations_of(ben.id).await.expect("organisations").len(), 2);
}

#[tokio::test]
async fn an_administrator_makes_nobody_an_administrator_and_removes_no_owner() {
    let world = World::new().await;
    let (owner, ben) = acme(&world, Role::Admin).await;
    let admin = Member { person: Some(ben.id), role: Role::Admin, ..owner };
    let eve = add(&world.accounts, "eve@example.com").await;
    world.accounts.enter(eve.id, owner.organisation, Role::Viewer).await;
    let appoint = world.accounts.give_role(&admin, eve.id, Role::Admin).await;
    assert!(matches!(appoint, Err(MemberError::NotAppointed { own: Role::Admin, role: Role::Admin })));
    let dethrone = world.accounts.remove_member(&admin, world.ann.id).await;
    assert!(matches!(dethrone, Err(MemberError::NotAppointed { role: Role::Owner, .. })));
    let raise_self = world.accounts.give_role(&admin, ben.id, Role::Owner).await;
    assert!(matches!(raise_self, Err(MemberError::NotAppointed { .. })));
    world.accounts.give_role(&admin, eve.id, Role::Operator).await.expect("given");
    world.accounts.remove_member(&admin, eve.id).await.expect("removed");
    assert_eq!(world.accounts.organisations_of(eve.id).await.expect("organisations").len(), 1);
}

#[tokio::test]
async fn the_last_owner_neither_leaves_nor_becomes_less() {
    let world = World::new().await;
    let (owner, ben) = acme(&world, Role::Operator).await;
    assert!(matches!(world.accounts.remove_member(&owner, world.ann.id).await, Err(MemberError::LastOwner)));
    assert!(matches!(world.accounts.give_role(&owner, world.ann.id, Role::Viewer).await, Err(MemberError::LastOwner)));
    world.accounts.give_role(&owner, ben.id, Role::Owner).await.expect("a second owner");
    world.accounts.remove_member(&owner, world.ann.id).await.expect("left");
}

#[tokio::test]
async fn two_owners_who_leave_at_the_same_moment_do_not_both_leave() {
    let world = World::new().await;
    let (ann, ben) = acme(&world, Role::Owner).await;
    let ben_owner = Member { person: Some(ben.id), ..ann };
    world.meeting.of_two();
    let (first, second) = tokio::join!(world.accounts.remove_member(&ann, world.ann.id), world.accounts.remove_member(&ben_owner, ben.id));
    assert!(
        matches!((&first, &second), (Ok(()), Err(MemberError::LastOwner)) | (Err(MemberError::LastOwner), Ok(()))),
        "{first:?} {second:?}"
    );
}

#[tokio::test]
async fn somebody_may_leave_whatever_they_are() {
    let world = World::new().await;
    let (owner, ben) = acme(&world, Role::Admin).await;
    let admin = Member { person: Some(ben.id), role: Role::Admin, ..owner };
    world.accounts.remove_member(&admin, ben.id).await.expect("left");
    assert!(matches!(world.accounts.remove_member(&admin, ben.id).await, Err(MemberError::NoMember)));
}

#[tokio::test]
async fn names_and_numbers_of_organisations_are_bounded() {
    let world = World::new().await;
    for name in ["", "  ", "a\nb", &"x".repeat(101)] {
        assert!(matches!(world.accounts.add_organisation(world.ann.id, name).await, Err(MemberError::Name)), "{name:?}");
    }
    for number in 1..MOST_MEMBERSHIPS {
        world.accounts.add_organisation(world.ann.id, &format!("Number {number}")).await.expect("made");
    }
    assert!(matches!(world.accounts.add_organisation(world.ann.id, "One more").await, Err(MemberError::TooMany)));
}
