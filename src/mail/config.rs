//! The section `[mail]`: in whose name letters go out, and who carries them.

use crate::{Email, Sender, held::SHARES, smtp};
use gatehouse_base::config::{Configure, Section};
use std::{path::PathBuf, time::Duration};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// What an operator can set about mail.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who carries letters. Nobody where neither `capture` nor `[mail.smtp]` is set: then there is no mail, and what needs it says so.
    pub delivery: Option<Delivery>,
    /// In whose name letters go out. Required with `[mail.smtp]`; `Gatehouse <gatehouse@localhost>` where letters are captured.
    pub from: Sender,
    /// Where answers go. Default: to the sender.
    pub reply_to: Option<Email>,
    /// The most letters that wait to be delivered; each kind has a sixteenth of it, so that no kind takes the room of another one. Who asks
    /// for more is told to come back. As many are kept at most that were given up, of which the oldest gives way. Default 16,000.
    pub outbox: usize,
    /// How often the same letter goes to the same address within an hour. Default 5.
    pub per_recipient: u32,
    /// How long a letter is tried at most. One whose link ends earlier is given up earlier. Default 2 days.
    pub give_up: Duration,
    /// How long a letter that was given up is kept for `gatehouse mail retry`. Default 7 days.
    pub keep_dead: Duration,
}

/// Who carries letters.
#[derive(Clone, Debug)]
pub enum Delivery {
    /// `[mail.smtp]`: a mail server.
    Smtp(smtp::Config),
    /// `capture`: a folder, in which each letter becomes a file.
    Capture(PathBuf),
}

impl Default for Config {
    fn default() -> Self {
        Self {
            delivery: None,
            from: "Gatehouse <gatehouse@localhost>".parse().expect("a constant that is a sender"),
            reply_to: None,
            outbox: 16_000,
            per_recipient: 5,
            give_up: DAY * 2,
            keep_dead: DAY * 7,
        }
    }
}

impl Configure for Config {
    fn read(from: &mut Section<'_>) -> Option<Self> {
        let defaults = Self::default();
        let smtp = if from.mentions("smtp") { Some(from.section::<smtp::Config>("smtp")) } else { None };
        let capture = from.path("capture");
        let sender = if smtp.is_some() { from.required("from") } else { Some(from.or("from", defaults.from)) };
        let reply_to = from.optional("reply_to");
        let outbox = from.within("outbox", defaults.outbox, SHARES..=1_000_000);
        let per_recipient = from.within("per_recipient", defaults.per_recipient, 1..=1000);
        let give_up = from.within("give_up", defaults.give_up, Duration::from_secs(60)..=DAY * 14);
        let keep_dead = from.within("keep_dead", defaults.keep_dead, Duration::from_secs(3600)..=DAY * 365);
        if smtp.is_some() && capture.is_some() {
            from.refuse("capture", "and [mail.smtp] are two ways for one letter: leave one of them out");
        }
        let delivery = match smtp {
            Some(smtp) => Some(Delivery::Smtp(smtp?)),
            None => capture.map(Delivery::Capture),
        };
        Some(Self { delivery, from: sender?, reply_to, outbox, per_recipient, give_up, keep_dead })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smtp::Security;
    use gatehouse_base::config::{Loaded, Sources, load};

    fn loaded(text: &str) -> Result<Loaded<Config>, String> {
        load::<Config>(&Sources::text("gatehouse.toml", text)).map_err(|mistakes| mistakes.to_string())
    }

    #[test]
    fn nothing_said_is_no_mail_and_a_folder_is_enough_for_captured_letters() {
        assert!(loaded("").expect("good").config.delivery.is_none());
        let config = loaded("capture = \"/tmp/mail\"").expect("good").config;
        assert!(matches!(config.delivery, Some(Delivery::Capture(_))));
        assert_eq!(config.from.to_string(), "Gatehouse <gatehouse@localhost>");
    }

    #[test]
    fn every_mistake_about_a_server_is_told_at_once() {
        let mistakes =
            loaded("capture = \"mail\"\n[smtp]\nsecurity = \"plain\"\nuser = \"ann\"\nport = 0\npassword = \"x\"\n").expect_err("bad");
        for part in ["`from` is missing", "`smtp.host` is missing", "`smtp.port`", "`smtp.password` is a secret", "two ways"] {
            assert!(mistakes.contains(part), "{part} is not in\n{mistakes}");
        }
        let mistakes = loaded("from = \"a@b\"\n[smtp]\nhost = \"mail.example.com\"\nuser = \"ann\"\n").expect_err("half of a credential");
        assert!(mistakes.contains("smtp.password"), "{mistakes}");
    }

    #[test]
    fn letters_in_the_clear_leave_the_machine_only_when_the_danger_is_named() {
        let text = |host: &str, danger: &str| format!("from = \"a@b\"\n[smtp]\nhost = \"{host}\"\nsecurity = \"plain\"\n{danger}");
        for host in ["localhost", "127.0.0.1", "::1"] {
            assert!(loaded(&text(host, "")).is_ok(), "{host}");
        }
        assert!(loaded(&text("mail.example.com", "")).expect_err("in the clear").contains("danger_unencrypted"));
        let named = loaded(&text("mail.example.com", "danger_unencrypted = true")).expect("named");
        assert!(named.remarks.iter().any(|remark| remark.key == "smtp.danger_unencrypted"));
    }

    #[test]
    fn the_port_follows_from_how_the_connection_is_secured() {
        for (security, port) in [("starttls", 587), ("tls", 465)] {
            let text = format!("from = \"a@b\"\n[smtp]\nhost = \"mail.example.com\"\nsecurity = \"{security}\"\n");
            let Some(Delivery::Smtp(smtp)) = loaded(&text).expect("good").config.delivery else { panic!("no server") };
            assert_eq!(smtp.port, port);
        }
        let Some(Delivery::Smtp(smtp)) = loaded("from = \"a@b\"\n[smtp]\nhost = \"m\"\n").expect("good").config.delivery else { panic!() };
        assert_eq!((smtp.security, smtp.port), (Security::StartTls, 587));
    }
}
