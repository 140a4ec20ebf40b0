//! One connection: getting in, and one transaction after another.

use std::{
    error::Error as _,
    fmt, io,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use lettre::transport::smtp::{
    authentication::{Credentials, Mechanism},
    client::AsyncSmtpConnection,
    commands::{Data, Mail as MailFrom, Noop, Quit, Rcpt, Rset},
    extension::ClientId,
    response::Response as Said,
};
use rustls::ClientConfig;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

use super::{
    Error,
    wire::{Stream, Wire},
};
use crate::{
    Egress, http,
    mail::{Account, Answer, Mail, Refused, Security, Server, Step, answer::enhanced},
};

/// Messages that go by one connection: many servers end it after a hundred or more.
const MESSAGES_MAX: usize = 100;
/// The server closes the connection (RFC 5321, section 3.8).
pub(super) const CLOSING: u16 = 421;
/// Ways to prove a login, the first first.
const MECHANISMS: [Mechanism; 2] = [Mechanism::Plain, Mechanism::Login];

/// What a connection is made with.
pub(super) struct Ways<'a> {
    pub(super) egress: &'a Arc<Egress>,
    pub(super) tls: &'a Arc<ClientConfig>,
    /// Time to resolve, connect and, on a port with TLS, agree on that. How long a server waits with its greeting is its
    /// own matter.
    pub(super) connect_timeout: Duration,
}

/// No connection, or none any more.
pub(super) enum Failure {
    /// The server says so.
    Refused(Answer),
    /// Nobody says anything.
    Error(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Error(Error::of_io(error))
    }
}

/// What lettre says of a command that was not taken.
enum No {
    /// The server's reply.
    Reply(u16, Option<String>),
    /// None.
    Error(Error),
}

impl No {
    fn at(self, step: Step) -> Failure {
        match self {
            Self::Reply(code, why) => Failure::Refused(Answer::to(step, (code, why))),
            Self::Error(error) => Failure::Error(error),
        }
    }
}

impl From<lettre::transport::smtp::Error> for No {
    fn from(error: lettre::transport::smtp::Error) -> Self {
        let source = error.source();
        if let Some(code) = error.status() {
            let why = source.and_then(|text| enhanced(&text.to_string()));
            return Self::Reply(code.into(), why);
        }
        let Some(found) = source.and_then(|source| source.downcast_ref::<io::Error>()) else {
            return Self::Error(Error::Protocol("a reply that cannot be read"));
        };
        // It can only be borrowed here. What TLS says of a connection that is made already says no more than its text.
        Self::Error(Error::of_io(io::Error::new(found.kind(), found.to_string())))
    }
}

/// One connection that was let in.
pub(super) struct Connection {
    smtp: AsyncSmtpConnection,
    /// Messages that went by it.
    sent: usize,
    /// Whether the last transaction was refused, and may be open still.
    open: bool,
    /// Whether all that was asked for has been answered, so that the next transaction can begin.
    good: bool,
}

impl Connection {
    /// Connects and proves who we are.
    pub(super) async fn open(account: &Account, ways: &Ways<'_>) -> Result<Self, Failure> {
        let opened = Self::enter(account, ways, true).await;
        let in_clear = account.server.security() == Security::Opportunistic && account.login.is_none();
        match opened {
            // Where nothing secret is sent, encryption that fails is no reason to send nothing.
            Err(Failure::Error(Error::Connection(http::Error::Tls { .. }))) if in_clear => {
                Self::enter(account, ways, false).await
            }
            opened => opened,
        }
    }

    async fn enter(account: &Account, ways: &Ways<'_>, upgrades: bool) -> Result<Self, Failure> {
        let server = &account.server;
        let reached = timeout(ways.connect_timeout, reach(server, ways)).await;
        let late = |_| Error::Connection(http::Error::ConnectTimeout(ways.connect_timeout));
        let mut wire = reached.map_err(late)??;
        let hello = hello(&wire)?;
        if server.security() != Security::Implicit {
            wire = prelude(wire, account, ways, &hello, upgrades).await?;
        }
        let smtp = AsyncSmtpConnection::connect_with_transport(Box::new(wire), &hello).await;
        let smtp = smtp.map_err(|error| No::from(error).at(Step::Ehlo))?;
        let mut connection = Self {
            smtp,
            sent: 0,
            open: false,
            good: true,
        };
        connection.log_in(account).await?;
        Ok(connection)
    }

    async fn log_in(&mut self, account: &Account) -> Result<(), Failure> {
        let Some(login) = &account.login else {
            return Ok(());
        };
        if self.smtp.server_info().get_auth_mechanism(&MECHANISMS).is_none() {
            return Err(Error::NoAuth.into());
        }
        let credentials = Credentials::new(login.username.clone(), login.password.expose().to_owned());
        let proved = self.smtp.auth(&MECHANISMS, &credentials).await;
        let said = proved.map_err(|error| No::from(error).at(Step::Auth))?;
        if code_of(&said) / 100 != 2 {
            return Err(Error::Protocol("a login that never ends").into());
        }
        Ok(())
    }

    /// Whether the next transaction can go by it.
    pub(super) fn is_good(&self) -> bool {
        self.good && self.sent < MESSAGES_MAX
    }

    /// Whether the server is there still, and begins anew. What was refused before is reset only here: who was refused has no use
    /// for that, and a server that is silent to it would hide what it has said.
    pub(super) async fn is_there(&mut self) -> bool {
        self.good = false;
        let said = if self.open {
            self.ask(Rset).await
        } else {
            self.ask(Noop).await
        };
        self.good = said.is_ok();
        self.open &= !self.good;
        self.good
    }

    /// Takes leave, for a login that was only tried.
    pub(super) async fn try_out(mut self) -> Result<Answer, Failure> {
        let said = self.ask(Noop).await.map_err(|no| no.at(Step::Noop))?;
        // Whatever it answers: the proof is there.
        self.smtp.command(Quit).await.ok();
        Ok(Answer::to(Step::Noop, codes_of(&said)))
    }

    /// Sends a message to all recipients that the server takes. `is_sent` is set before the server may have it.
    pub(super) async fn send(&mut self, mail: &Mail, is_sent: &AtomicBool) -> Result<Answer, Failure> {
        // Whoever gives up in the midst leaves a connection on which an old reply could come to a new command.
        self.good = false;
        let answer = self.transact(mail, is_sent).await?;
        self.sent += 1;
        self.open = answer.got.is_empty();
        self.good = answer.code != CLOSING;
        Ok(answer)
    }

    /// Says a command that is answered by 2xx where it is taken. Lettre takes 3xx, which asks for more, as well.
    async fn ask(&mut self, command: impl fmt::Display) -> Result<Said, No> {
        let said = self.smtp.command(command).await?;
        if code_of(&said) / 100 == 2 {
            Ok(said)
        } else {
            Err(No::Error(Error::Protocol("a reply that asks for more")))
        }
    }

    async fn transact(&mut self, mail: &Mail, is_sent: &AtomicBool) -> Result<Answer, Failure> {
        // The message is ASCII, and so are the addresses: no extension is asked for.
        let from = MailFrom::new(Some(mail.from.clone()), Vec::new());
        if let Err(no) = self.ask(from).await {
            return refused(no, Step::Mail, Vec::new());
        }
        let (mut got, mut not) = (Vec::new(), Vec::new());
        for (number, address) in &mail.to {
            match self.ask(Rcpt::new(address.clone(), Vec::new())).await {
                Ok(_) => got.push(*number),
                Err(No::Reply(CLOSING, why)) => return Ok(Answer::to(Step::Rcpt, (CLOSING, why))),
                Err(No::Reply(code, why)) => not.push(Refused { to: *number, code, why }),
                Err(No::Error(error)) => return Err(error.into()),
            }
        }
        if got.is_empty() {
            // One that may be taken later decides: then there is something left to be done.
            let decides = not.iter().find(|refused| !refused.is_for_good()).or(not.first());
            let codes = decides.map_or((554, None), |refused| (refused.code, refused.why.clone()));
            return Ok(Answer {
                not,
                ..Answer::to(Step::Rcpt, codes)
            });
        }
        match self.smtp.command(Data).await {
            Ok(said) if code_of(&said) == 354 => {}
            Ok(_) => return Err(Error::Protocol("no 354 to DATA").into()),
            Err(error) => return refused(No::from(error), Step::Data, not),
        }
        is_sent.store(true, Ordering::Relaxed);
        // Lettre ends the last line itself.
        let message = mail.message.strip_suffix(b"\r\n").unwrap_or(&mail.message);
        match self.smtp.message(message).await.map_err(No::from) {
            Ok(said) if code_of(&said) / 100 == 2 => Ok(Answer {
                got,
                not,
                ..Answer::to(Step::Data, codes_of(&said))
            }),
            Err(no @ No::Reply(..)) => refused(no, Step::Data, not),
            Ok(_) | Err(No::Error(_)) => Err(Error::Unanswered.into()),
        }
    }
}

/// A transaction that ended at a command.
fn refused(no: No, step: Step, not: Vec<Refused>) -> Result<Answer, Failure> {
    match no.at(step) {
        Failure::Refused(answer) => Ok(Answer { not, ..answer }),
        failure => Err(failure),
    }
}

fn code_of(said: &Said) -> u16 {
    said.code().into()
}

fn codes_of(said: &Said) -> (u16, Option<String>) {
    (code_of(said), said.first_line().and_then(enhanced))
}

/// Connects to a checked address, with TLS where it is there from the first byte.
async fn reach(server: &Server, ways: &Ways<'_>) -> Result<Wire, Failure> {
    let addresses = ways.egress.addresses(server.url(), server.port()).await;
    let addresses = addresses.map_err(Error::Connection)?;
    let stream = TcpStream::connect(&addresses[..]).await?;
    stream.set_nodelay(true)?;
    if server.security() == Security::Implicit {
        encrypted(stream, server, ways).await
    } else {
        Ok(Wire::new(Stream::Plain(stream)))
    }
}

async fn encrypted(stream: TcpStream, server: &Server, ways: &Ways<'_>) -> Result<Wire, Failure> {
    let connecting = TlsConnector::from(ways.tls.clone()).connect(server.name().clone(), stream);
    let stream = connecting.await.map_err(tls_failed)?;
    Ok(Wire::new(Stream::Tls(Box::new(stream))))
}

/// A server that ends the connection while TLS is agreed on says that it does not agree.
fn tls_failed(error: io::Error) -> Failure {
    match Error::of_io(error) {
        Error::Closed => Error::Connection(http::Error::ConnectionReset).into(),
        error => error.into(),
    }
}

/// What is said in clear before TLS, or in its place: greeting, `EHLO`, `STARTTLS`. Lettre is given what follows.
async fn prelude(
    mut wire: Wire,
    account: &Account,
    ways: &Ways<'_>,
    hello: &ClientId,
    upgrades: bool,
) -> Result<Wire, Failure> {
    let greeting = wire.reply().await?;
    if greeting.code / 100 != 2 {
        return Err(Failure::Refused(Answer::to(Step::Greeting, greeting.codes())));
    }
    let offer = wire.ask(&format!("EHLO {hello}")).await?;
    if offer.code / 100 != 2 {
        return Err(Failure::Refused(Answer::to(Step::Ehlo, offer.codes())));
    }
    let server = &account.server;
    let is_required = server.security() != Security::Opportunistic;
    let may_be_clear = !is_required && account.login.is_none();
    if upgrades && offer.offers("STARTTLS") {
        let said = wire.ask("STARTTLS").await?;
        if said.code / 100 == 2 {
            let Stream::Plain(stream) = drained(wire)? else {
                return Err(Error::Protocol("TLS within TLS").into());
            };
            wire = encrypted(stream, server, ways).await?;
        } else if !may_be_clear {
            return Err(Failure::Refused(Answer::to(Step::StartTls, said.codes())));
        }
    } else if is_required {
        return Err(Error::NoStartTls.into());
    } else if !may_be_clear {
        return Err(Error::PasswordInClear.into());
    }
    wire.greeting_again();
    Ok(wire)
}

fn drained(wire: Wire) -> Result<Stream, Failure> {
    if wire.is_drained() {
        Ok(wire.into_stream())
    } else {
        // It could be a stranger's, put in before anything was encrypted.
        Err(Error::Protocol("more than a reply before TLS").into())
    }
}

/// Who we say that we are: our address, as a process in a container has no name that others know (RFC 5321, section
/// 4.1.4).
fn hello(wire: &Wire) -> Result<ClientId, Failure> {
    Ok(match wire.local_addr()?.ip().to_canonical() {
        IpAddr::V4(address) => ClientId::Ipv4(address),
        IpAddr::V6(address) => ClientId::Ipv6(address),
    })
}
