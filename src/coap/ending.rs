//! How a connection is ended by us, and how connections have ended.

/// How the peer is left. Over TCP it is told by a signal; TLS and DTLS close with an alert of their own in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// What is worked on is finished first, within `[coap] drain_wait`, and the peer is told that it may connect again
    /// (RFC 8323 §5.5).
    Release,
    /// At once, without a word of CoAP. What was answered still goes out.
    Close,
    /// At once, with the reason for whoever reads the peer's log (RFC 8323 §5.6). What was answered still goes out.
    Abort(&'static str),
}

impl Leave {
    /// Of two wishes the one that ends sooner and says more.
    pub(crate) fn stronger(self, other: Self) -> Self {
        if self.strength() >= other.strength() { self } else { other }
    }

    fn strength(self) -> u8 {
        match self {
            Self::Release => 0,
            Self::Close => 1,
            Self::Abort(_) => 2,
        }
    }
}

/// Why a connection has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ending {
    /// The peer released it.
    Released,
    /// The peer aborted it.
    Aborted,
    /// The peer broke a rule of the protocol, and was told so.
    Refused,
    /// The peer said nothing for too long.
    Silent,
    /// The peer did not take what it asked for.
    Congested,
    /// The peer closed it, or is gone.
    Lost,
    /// The peer itself began anew from the same address (over UDP).
    Replaced,
    /// Another peer needed the place (over UDP).
    Evicted,
    /// Nothing was asked over it for too long.
    Idle,
    /// The server is about to stop.
    Drained,
    /// The chain that let the peer in is no longer good.
    Revoked,
    /// A handler, or whoever held a handle, wanted it so.
    Left,
    /// Everything had to end at once.
    Stopped,
}

impl Ending {
    /// All of them, in order.
    pub(crate) const ALL: [Self; 13] = [
        Self::Released,
        Self::Aborted,
        Self::Refused,
        Self::Silent,
        Self::Congested,
        Self::Lost,
        Self::Replaced,
        Self::Evicted,
        Self::Idle,
        Self::Drained,
        Self::Revoked,
        Self::Left,
        Self::Stopped,
    ];

    /// The word for it in metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Released => "released",
            Self::Aborted => "aborted",
            Self::Refused => "refused",
            Self::Silent => "silent",
            Self::Congested => "congested",
            Self::Lost => "lost",
            Self::Replaced => "replaced",
            Self::Evicted => "evicted",
            Self::Idle => "idle",
            Self::Drained => "drained",
            Self::Revoked => "revoked",
            Self::Left => "left",
            Self::Stopped => "stopped",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ending_is_where_its_number_says() {
        assert!(Ending::ALL.iter().enumerate().all(|(place, why)| *why as usize == place));
    }

    #[test]
    fn the_wish_that_ends_sooner_wins_whichever_came_first() {
        let all = [Leave::Release, Leave::Close, Leave::Abort("over")];
        for (weak, strong) in [(0, 1), (0, 2), (1, 2), (1, 1)] {
            assert_eq!(all[weak].stronger(all[strong]), all[strong]);
            assert_eq!(all[strong].stronger(all[weak]), all[strong]);
        }
    }
}
