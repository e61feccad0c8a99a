//! A name server that says of every name what it is told to.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, CNAME};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use test_support::Network;

/// What it says.
#[derive(Clone, Copy)]
pub(crate) enum Told {
    Silence,
    Failure,
    /// That the name is there, and has no address.
    Nothing,
    /// That the name is an alias of this one, which is an alias of the name.
    Loop(&'static str),
    /// The same, one link at a time.
    Circle(&'static str),
    /// That the name is an alias of this one, which isn't there.
    Dangling(&'static str),
    /// That the name is an alias of these in turn, the last of which has the address.
    Aliases(&'static [&'static str], Ipv4Addr),
}

/// A running liar; it ends with the test's process.
pub(crate) struct Liar(Arc<Mutex<Told>>);

impl Liar {
    pub(crate) fn start(network: &Network) -> Result<Self> {
        let socket = network.world.enter(|| UdpSocket::bind(ADDRESS))??;
        let told = Arc::new(Mutex::new(Told::Silence));
        let current = Arc::clone(&told);
        std::thread::spawn(move || {
            let mut bytes = [0; 1500];
            while let Ok((length, peer)) = socket.recv_from(&mut bytes) {
                let told = *current.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(answer) = answer(&bytes[..length], told) {
                    let _ = socket.send_to(&answer, peer);
                }
            }
        });
        Ok(Self(told))
    }

    pub(crate) fn tell(&self, told: Told) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = told;
    }
}

fn answer(question: &[u8], told: Told) -> Option<Vec<u8>> {
    let question = Message::from_vec(question).ok()?;
    let query = question.queries.first()?.clone();
    let name = query.name().clone();
    let is_v4 = query.query_type() == RecordType::A;
    let mut reply = Message::response(question.metadata.id, question.metadata.op_code);
    reply.add_query(query);
    let absolute = |text: &str| Name::from_ascii(format!("{text}.")).ok();
    let alias = |from: &Name, to: &Name| {
        Record::from_rdata(from.clone(), 1, RData::CNAME(CNAME(to.clone())))
    };
    match told {
        Told::Silence => return None,
        Told::Failure => reply.metadata.response_code = ResponseCode::ServFail,
        Told::Nothing => {}
        Told::Loop(other) => {
            let other = absolute(other)?;
            reply.add_answer(alias(&name, &other)).add_answer(alias(&other, &name));
        }
        Told::Circle(other) => {
            let other = absolute(other)?;
            let next = if name == other { absolute(super::scene::LOGIN)? } else { other };
            reply.add_answer(alias(&name, &next));
        }
        Told::Dangling(other) => {
            let other = absolute(other)?;
            reply.metadata.response_code = ResponseCode::NXDomain;
            if name != other {
                reply.add_answer(alias(&name, &other));
            }
        }
        Told::Aliases(chain, address) => {
            let mut owner = name;
            for target in chain {
                let target = absolute(target)?;
                reply.add_answer(alias(&owner, &target));
                owner = target;
            }
            if is_v4 {
                reply.add_answer(Record::from_rdata(owner, 1, RData::A(A(address))));
            }
        }
    }
    reply.to_vec().ok()
}

/// Where it is, as `--resolver` wants it.
pub(crate) const ADDRESS: &str = "20.62.128.1:5353";
