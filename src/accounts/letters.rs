//! The letters about accounts. What strangers may put into one is a name at most, never before they have shown who they are.

use crate::{Role, Visitor};
use gatehouse_mail::{Content, Email, Letter};
use gatehouse_types::{Secret, UnixTime};

/// The time as letters tell it, to the second.
fn told(time: UnixTime) -> String {
    UnixTime::from_secs(time.secs()).to_string().replace('T', " ").replace('Z', " UTC")
}

fn from_where(content: Content, from: Option<&Visitor>, at: UnixTime) -> Content {
    let time = told(at);
    match from {
        Some(from) => content.facts(&[("When", &time), ("From", &from.address.to_string()), ("With", &from.agent)]),
        None => content.facts(&[("When", &time), ("From", "the console of the server")]),
    }
}

const NOT_YOU: &str =
    "If this was not you, set a new password by \"forgotten password\" on the sign-in page, and look at your sessions and tokens.";

/// Asks whether an address is its reader's.
pub(crate) struct ConfirmAddress {
    pub(crate) link: Secret,
    pub(crate) ends: UnixTime,
}

impl Letter for ConfirmAddress {
    const KIND: &'static str = "confirm-address";

    fn content(&self) -> Content {
        Content::new("Confirm your address")
            .paragraph("An account was made with this address. To confirm that it is yours, follow this link.")
            .link("Confirm the address", self.link.clone())
            .paragraph(&format!("The link is good once, until {}. If you made no account, do nothing: it goes by itself.", told(self.ends)))
    }

    fn useful_until(&self) -> Option<UnixTime> {
        Some(self.ends)
    }
}

/// Tells the owner of an address that somebody wanted an account with it.
pub(crate) struct AddressInUse;

impl Letter for AddressInUse {
    const KIND: &'static str = "address-in-use";

    fn content(&self) -> Content {
        Content::new("You have an account already")
            .paragraph("Somebody wanted to use this address for an account, and there is one with it. Nothing was changed.")
            .paragraph("If it was you: sign in, or choose \"forgotten password\" on the sign-in page.")
    }
}

/// Lets somebody in who has forgotten the password.
pub(crate) struct ResetPassword {
    pub(crate) link: Secret,
    pub(crate) ends: UnixTime,
}

impl Letter for ResetPassword {
    const KIND: &'static str = "reset-password";

    fn content(&self) -> Content {
        Content::new("Set a new password")
            .paragraph("Somebody asked for a new password for the account with this address. To set one, follow this link.")
            .link("Set a new password", self.link.clone())
            .paragraph(&format!("The link is good once, until {}. If you did not ask for it, do nothing.", told(self.ends)))
    }

    fn useful_until(&self) -> Option<UnixTime> {
        Some(self.ends)
    }
}

/// Something about the way into an account has changed.
pub(crate) struct Changed<'a> {
    pub(crate) what: Change,
    pub(crate) from: Option<&'a Visitor>,
    pub(crate) at: UnixTime,
}

/// What has changed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change {
    Password,
    PasswordByLink,
    SecondFactorOn,
    SecondFactorOff,
    PasskeyAdded,
    PasskeyRemoved { last: bool },
    PasskeyCountedBackwards,
    RecoveryCodeUsed { left: usize },
    ResetByOperator,
    ProofsRefused,
    ProviderLinked,
    ProviderUnlinked,
}

impl Letter for Changed<'_> {
    const KIND: &'static str = "account-changed";

    fn content(&self) -> Content {
        let (subject, text) = match self.what {
            Change::Password => {
                ("Your password was changed", "The password of your account was changed, and all other sessions ended.".to_owned())
            }
            Change::PasswordByLink => {
                ("Your password was changed", "A new password was set by a link in a letter to you, and all sessions ended.".to_owned())
            }
            Change::SecondFactorOn => {
                ("Codes are asked for", "Signing in to your account takes a code from an authenticator now.".to_owned())
            }
            Change::SecondFactorOff => ("Codes are not asked for any more", "Your account's second factor was taken off.".to_owned()),
            Change::PasskeyAdded => {
                ("A passkey was added", "A passkey was added to your account. It lets in, with a password or without one.".to_owned())
            }
            Change::PasskeyRemoved { last } => {
                let then = if last { " It was the only second factor: the password alone lets in now." } else { "" };
                ("A passkey was removed", format!("A passkey of your account was removed.{then}"))
            }
            Change::PasskeyCountedBackwards => (
                "A passkey was refused",
                "A passkey of your account counted backwards, as one does of which somebody made a copy. Nobody was let in by it. Remove it \
                 unless you know why."
                    .to_owned(),
            ),
            Change::RecoveryCodeUsed { left } => {
                ("A recovery code was used", format!("A recovery code of your account was used up; there are {left} left."))
            }
            Change::ProofsRefused => (
                "Somebody guesses at your account",
                "Somebody who knows your password, or has one of your sessions, was asked to prove more, and failed many times. They wait now \
                 between attempts."
                    .to_owned(),
            ),
            Change::ProviderLinked => {
                ("A login elsewhere lets you in", "Signing in through another provider is linked to your account from now on.".to_owned())
            }
            Change::ProviderUnlinked => {
                ("A login elsewhere lets you in no more", "A link between your account and another provider was ended.".to_owned())
            }
            Change::ResetByOperator => (
                "Your account was reset",
                "The operator of this installation set a new password, took all second factors off and ended all sessions.".to_owned(),
            ),
        };
        from_where(Content::new(subject).paragraph(&text), self.from, self.at).paragraph(NOT_YOU)
    }
}

/// Something waits for one of the operators.
pub(crate) struct SecondPersonAsked<'a> {
    pub(crate) what: &'a str,
    pub(crate) by: &'a Email,
    pub(crate) ends: UnixTime,
}

impl Letter for SecondPersonAsked<'_> {
    const KIND: &'static str = "second-person-asked";

    fn content(&self) -> Content {
        Content::new("Your word is asked for")
            .paragraph("Somebody who runs this installation wants something done that takes two.")
            .facts(&[("What", self.what), ("Who", self.by.as_str()), ("Until", &told(self.ends))])
            .paragraph("Approve or reject it among the requests of the installation. If nobody answers, it is not done.")
    }

    fn useful_until(&self) -> Option<UnixTime> {
        Some(self.ends)
    }
}

/// Another operator has answered.
pub(crate) struct SecondPersonAnswered<'a> {
    pub(crate) what: &'a str,
    pub(crate) approved: bool,
    pub(crate) at: UnixTime,
}

impl Letter for SecondPersonAnswered<'_> {
    const KIND: &'static str = "second-person-answered";

    fn content(&self) -> Content {
        let (subject, text) = match self.approved {
            true => ("What you asked for is done", "Another person approved what you asked for, and it is done."),
            false => ("What you asked for is not done", "What you asked for was rejected, and is not done."),
        };
        Content::new(subject).paragraph(text).facts(&[("What", self.what), ("When", &told(self.at))])
    }
}

/// Somebody signed in from where nobody did before.
pub(crate) struct NewSignIn<'a> {
    pub(crate) from: &'a Visitor,
    pub(crate) at: UnixTime,
}

impl Letter for NewSignIn<'_> {
    const KIND: &'static str = "new-sign-in";

    fn content(&self) -> Content {
        let content = Content::new("A sign-in from a new place");
        let content = content.paragraph("Somebody signed in to your account from a network or with a program that was not seen before.");
        from_where(content, Some(self.from), self.at).paragraph(NOT_YOU).paragraph("You can switch these letters off in your account.")
    }
}

/// Tells the owners of an organisation that a member was reset at the console.
pub(crate) struct MemberReset<'a> {
    pub(crate) member: &'a Email,
    pub(crate) organisation: &'a str,
    pub(crate) at: UnixTime,
}

impl Letter for MemberReset<'_> {
    const KIND: &'static str = "member-reset";

    fn content(&self) -> Content {
        let text =
            format!("The account {} was reset by the operator of this installation. It belongs to {}.", self.member, self.organisation);
        from_where(Content::new("An account was reset").paragraph(&text), None, self.at)
            .paragraph("If nobody asked for that, ask whoever runs this installation.")
    }
}

/// Asks somebody into an organisation.
pub(crate) struct Invited<'a> {
    pub(crate) organisation: &'a str,
    pub(crate) role: Role,
    pub(crate) link: Secret,
    pub(crate) ends: UnixTime,
}

impl Letter for Invited<'_> {
    const KIND: &'static str = "invitation";

    fn content(&self) -> Content {
        Content::new("An invitation")
            .paragraph("You are invited to an organisation.")
            .facts(&[("Organisation", self.organisation), ("As", self.role.name())])
            .link("Look at the invitation", self.link.clone())
            .paragraph(&format!("The link is good once, until {}. If you do not want to, do nothing.", told(self.ends)))
    }

    fn useful_until(&self) -> Option<UnixTime> {
        Some(self.ends)
    }
}

/// Asks at a new address whether it is its reader's.
pub(crate) struct ConfirmNewAddress {
    pub(crate) link: Secret,
    pub(crate) ends: UnixTime,
}

impl Letter for ConfirmNewAddress {
    const KIND: &'static str = "confirm-new-address";

    fn content(&self) -> Content {
        Content::new("Confirm your new address")
            .paragraph("Somebody wants this to be the address of their account. If it was you, follow this link.")
            .link("Use this address", self.link.clone())
            .paragraph(&format!("The link is good once, until {}. If it was not you, do nothing.", told(self.ends)))
    }

    fn useful_until(&self) -> Option<UnixTime> {
        Some(self.ends)
    }
}

/// Tells the present address that another one is wanted, with the way back.
pub(crate) struct AddressChanges<'a> {
    pub(crate) to: &'a Email,
    pub(crate) link: Secret,
    pub(crate) ends: UnixTime,
    pub(crate) from: &'a Visitor,
    pub(crate) at: UnixTime,
}

impl Letter for AddressChanges<'_> {
    const KIND: &'static str = "address-changes";

    fn content(&self) -> Content {
        let content = Content::new("Your address is about to change");
        let content = content.paragraph("Somebody wants another address for your account. It changes when that one is confirmed.");
        from_where(content.facts(&[("New address", self.to.as_str())]), Some(self.from), self.at)
            .paragraph(&format!("If this was not you, follow this link until {}, also after the change.", told(self.ends)))
            .link("Keep this address and end all sessions", self.link.clone())
    }
}

/// Tells the address that an account had that it has another one now, or none.
pub(crate) struct AddressGone<'a> {
    pub(crate) from: &'a Visitor,
    pub(crate) at: UnixTime,
    pub(crate) removed: bool,
}

impl Letter for AddressGone<'_> {
    const KIND: &'static str = "address-gone";

    fn content(&self) -> Content {
        if self.removed {
            let content =
                Content::new("Your account is gone").paragraph("The account with this address was deleted, with all that was its own.");
            return from_where(content, Some(self.from), self.at);
        }
        let content = Content::new("Your address was changed").paragraph("Your account has another address now.");
        from_where(content, Some(self.from), self.at)
            .paragraph("If this was not you, use the link in the letter before this one: it takes the change back.")
    }
}
