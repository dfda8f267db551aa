//! Orders: planned = shipped + scrapped + open, counted from the devices themselves.

use super::{Ledger, Order, Refusal, Sent, Whereabouts};
use crate::{
    name::{CustomerName, OrderName},
    record::Record,
    serial::DeviceSerial,
};
use gatehouse_types::UnixTime;
use serde::Serialize;
use std::fmt;

/// How an order stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OrderReport {
    /// The order.
    pub order: OrderName,
    /// Whose it is.
    pub customer: CustomerName,
    /// How many devices it plans.
    pub planned: u64,
    /// How many were shipped.
    pub shipped: u64,
    /// How many were thrown away.
    pub scrapped: u64,
    /// How many are neither: made and in hand, or not made yet.
    pub open: u64,
    /// How many of the open ones are made and in hand.
    pub in_hand: u64,
    /// Whether the order is closed.
    pub closed: bool,
}

impl OrderReport {
    /// Whether the numbers add up. They do not when more was made than the order plans.
    pub fn balances(&self) -> bool {
        self.planned == self.shipped + self.scrapped + self.open && self.in_hand <= self.open
    }

    fn made(&self) -> u64 {
        self.shipped + self.scrapped + self.in_hand
    }
}

impl fmt::Display for OrderReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { order, customer, planned, shipped, scrapped, open, in_hand, closed } = self;
        let state = if *closed { ", closed" } else { "" };
        write!(
            out,
            "{order} for {customer}: {planned} planned = {shipped} shipped + {scrapped} scrapped + {open} open ({in_hand} in hand){state}"
        )?;
        if self.balances() { Ok(()) } else { write!(out, "  DOES NOT ADD UP") }
    }
}

impl Ledger {
    /// How every order stands.
    pub(crate) fn orders(&self) -> Vec<OrderReport> {
        let mut reports: Vec<_> = self.orders.iter().map(|(name, order)| report(name, order)).collect();
        for device in self.devices.values() {
            let Some(name) = &device.order else { continue };
            let Ok(at) = reports.binary_search_by(|report| report.order.cmp(name)) else { continue };
            let report = &mut reports[at];
            match device.whereabouts {
                Whereabouts::InHand => report.in_hand += 1,
                Whereabouts::Shipped => report.shipped += 1,
                Whereabouts::Scrapped => report.scrapped += 1,
            }
        }
        for report in &mut reports {
            report.open = report.planned.saturating_sub(report.shipped + report.scrapped);
        }
        reports
    }

    /// How one order stands.
    pub(crate) fn order(&self, name: &OrderName) -> Result<OrderReport, Refusal> {
        self.orders().into_iter().find(|report| report.order == *name).ok_or_else(|| Refusal::UnknownOrder { order: name.clone() })
    }

    /// Opens an order, or changes how many devices it plans.
    pub(crate) fn plan_order(&self, order: OrderName, customer: CustomerName, planned: u64, at: UnixTime) -> Result<Record, Refusal> {
        if self.orders.contains_key(&order) {
            let report = self.open_order(&order)?;
            if report.customer != customer {
                return Err(Refusal::OtherCustomer { order, customer: report.customer });
            }
            if report.made() > planned {
                return Err(Refusal::Planned { order, planned, made: report.made(), wanted: 0 });
            }
        }
        Ok(Record::Order { order, customer, planned, at })
    }

    /// Closes an order of which nothing is open.
    pub(crate) fn close_order(&self, order: OrderName, at: UnixTime) -> Result<Record, Refusal> {
        let report = self.open_order(&order)?;
        if report.open > 0 { Err(Refusal::Open { order, open: report.open }) } else { Ok(Record::Closed { order, at }) }
    }

    /// Whether so many more devices may be made for the order.
    pub(crate) fn may_make(&self, order: &OrderName, wanted: u64) -> Result<(), Refusal> {
        let report = self.open_order(order)?;
        if report.made().saturating_add(wanted) > report.planned {
            return Err(Refusal::Planned { order: order.clone(), planned: report.planned, made: report.made(), wanted });
        }
        Ok(())
    }

    /// The devices that leave for an order: those that are named, or all that were made for it and are in hand.
    pub(crate) fn to_ship(&self, order: &OrderName, named: Option<&[DeviceSerial]>) -> Result<Vec<DeviceSerial>, Refusal> {
        self.open_order(order)?;
        let Some(named) = named else {
            let ours = self.devices.iter().filter(|(_, device)| device.order.as_ref() == Some(order));
            let good = ours.filter(|(_, device)| device.whereabouts == Whereabouts::InHand && !self.is_revoked(device));
            let mut all: Vec<_> = good.map(|(serial, _)| serial.clone()).collect();
            all.sort();
            return if all.is_empty() { Err(Refusal::Nothing { order: order.clone() }) } else { Ok(all) };
        };
        let mut all = named.to_vec();
        all.sort();
        all.dedup();
        let mut from_stock = 0;
        for serial in &all {
            let device = self.devices.get(serial).ok_or_else(|| Refusal::NotMade { device: serial.clone() })?;
            match (&device.order, device.whereabouts) {
                (_, Whereabouts::Shipped) => return Err(Refusal::Shipped { device: serial.clone() }),
                (_, Whereabouts::Scrapped) => return Err(Refusal::Scrapped { device: serial.clone() }),
                (Some(other), _) if other != order => return Err(Refusal::OtherOrder { device: serial.clone(), order: other.clone() }),
                _ if self.is_revoked(device) => return Err(Refusal::Revoked { device: serial.clone() }),
                (None, _) => from_stock += 1,
                (Some(_), _) => {}
            }
        }
        self.may_make(order, from_stock)?;
        if all.is_empty() { Err(Refusal::Nothing { order: order.clone() }) } else { Ok(all) }
    }

    /// Throws devices away.
    pub(crate) fn scrap(&self, devices: Vec<DeviceSerial>, remark: String, at: UnixTime) -> Result<Record, Refusal> {
        for serial in &devices {
            let device = self.devices.get(serial).ok_or_else(|| Refusal::NotMade { device: serial.clone() })?;
            match device.whereabouts {
                Whereabouts::InHand => {}
                Whereabouts::Shipped => return Err(Refusal::Shipped { device: serial.clone() }),
                Whereabouts::Scrapped => return Err(Refusal::Scrapped { device: serial.clone() }),
            }
        }
        Ok(Record::Scrapped { devices, remark, at })
    }

    /// The last manifest that a customer was sent.
    pub(crate) fn sent(&self, customer: &CustomerName) -> Option<Sent> {
        self.sent.get(customer).copied()
    }

    fn open_order(&self, order: &OrderName) -> Result<OrderReport, Refusal> {
        let report = self.order(order)?;
        if report.closed { Err(Refusal::Closed { order: order.clone() }) } else { Ok(report) }
    }
}

fn report(name: &OrderName, order: &Order) -> OrderReport {
    let Order { customer, planned, closed } = order.clone();
    OrderReport { order: name.clone(), customer, planned, shipped: 0, scrapped: 0, open: planned, in_hand: 0, closed }
}
