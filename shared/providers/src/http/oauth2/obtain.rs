//! How a request gets its token: from memory, from the vault, or from the token endpoint.

use std::{sync::Arc, time::Duration};

use signalbox_proto::Timestamp;
use tokio::time::{Instant, sleep, timeout};

use super::{
    Grant, Lease, Vault, VaultError,
    answer::{self, Failure},
    slots::{Look, Slot, Turn},
    token::Token,
};
use crate::http::{Client, Error, Identity, Request, Response};

/// How long a token endpoint may take to answer.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the right to fetch lasts of a process that dies with it: longer than a last look into the vault, the endpoint and
/// the vault again may take together. Nobody waits longer for another's token.
const LEASE_TTL: Duration = Duration::from_secs(15);
/// How often one that waits looks whether the token is there.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long a vault may take; slower, it is passed by.
const VAULT_TIMEOUT: Duration = Duration::from_secs(2);

/// How a fetch begins.
enum Begun {
    /// Another process has fetched.
    Found(Token),
    /// With the sole right to it, or without a vault that could say who has it.
    Alone(Option<Lease>),
}

impl Client {
    /// Sends a request with a token. Where the target refuses it, once more with another.
    pub(in crate::http) async fn send_with_token(
        &self,
        grant: &Arc<Grant>,
        mut request: Request,
    ) -> Result<Response, Error> {
        let identity = request.identity.clone();
        let slot = self.parts.tokens.slot(grant);
        let token = self.token(&slot, grant, identity.as_ref()).await?;
        request.auth = token.auth();
        let response = token.taken_out_of(self.exchange(request.clone()).await?);
        if response.status != 401 || !slot.give_up(&token, Timestamp::now()) {
            return Ok(response);
        }
        let other = self.token(&slot, grant, identity.as_ref()).await?;
        request.auth = other.auth();
        let response = self.exchange(request).await?;
        Ok(token.taken_out_of(other.taken_out_of(response)))
    }

    /// A token that counts. What it takes to fetch one is no part of the request: a request that is given up, as its time is
    /// over, leaves behind a fetch whose token is there for the next.
    async fn token(
        &self,
        slot: &Arc<Slot>,
        grant: &Arc<Grant>,
        identity: Option<&Arc<Identity>>,
    ) -> Result<Arc<Token>, Error> {
        let fetch = |turn: Option<Turn>| {
            if let Some(turn) = turn {
                let fetch = Fetch {
                    client: self.clone(),
                    grant: grant.clone(),
                    identity: identity.cloned(),
                };
                tokio::spawn(fetch.run(turn));
            }
        };
        match slot.look(Timestamp::now()) {
            Look::Use(token, turn) => {
                fetch(turn);
                Ok(token)
            }
            Look::Fail(failure) => Err(Error::Token(failure)),
            Look::Wait(wait, turn) => {
                fetch(turn);
                wait.end().await.map_err(Error::Token)
            }
        }
    }
}

/// One fetch of a token. It ends by itself: whatever it waits for has a time.
struct Fetch {
    client: Client,
    grant: Arc<Grant>,
    identity: Option<Arc<Identity>>,
}

impl Fetch {
    /// Fetches a token, or finds one that another process has fetched.
    async fn run(self, turn: Turn) {
        let vault = self.client.parts.tokens.vault.as_deref();
        let begun = match vault {
            None => Ok(Begun::Alone(None)),
            Some(vault) => self.begin(vault, turn.known()).await,
        };
        let lease = match begun {
            Ok(Begun::Found(token)) => {
                turn.bring(token);
                return;
            }
            Ok(Begun::Alone(lease)) => lease,
            Err(error) => {
                tracing::debug!(%error, "tokens are fetched without the others of this installation");
                None
            }
        };
        let token = match self.ask().await {
            Ok(token) => turn.bring(token),
            Err(failure) => {
                tracing::debug!(%failure, "a token was not fetched");
                return turn.fail(failure, Timestamp::now());
            }
        };
        let left = token.left(Timestamp::now());
        // A key of less than a second would be kept for a whole one.
        if let Some(vault) = vault
            && left >= Duration::from_secs(1)
        {
            let place = self.grant.place();
            let kept = token.to_kept(&place.digest);
            if let Err(error) = soon(vault.put(&place.name, &kept, left)).await {
                tracing::debug!(%error, "a token could not be shared");
            }
        }
        // Not before it is there for those that wait for the lease.
        drop(lease);
    }

    /// Finds what another process has fetched, or gets the right to fetch.
    async fn begin(&self, vault: &dyn Vault, known: Option<&Token>) -> Result<Begun, VaultError> {
        let name = &self.grant.place().name;
        let until = Instant::now() + LEASE_TTL;
        loop {
            if let Some(token) = self.kept(vault, known).await? {
                return Ok(Begun::Found(token));
            }
            if let Some(lease) = soon(vault.lease(name, LEASE_TTL)).await? {
                // It may have been put between the look and the lease.
                return Ok(match self.kept(vault, known).await? {
                    Some(token) => Begun::Found(token),
                    None => Begun::Alone(Some(lease)),
                });
            }
            if Instant::now() >= until {
                return Ok(Begun::Alone(None));
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// A token of the vault that is better than the one that is known.
    async fn kept(&self, vault: &dyn Vault, known: Option<&Token>) -> Result<Option<Token>, VaultError> {
        let place = self.grant.place();
        let kept = soon(vault.get(&place.name)).await?;
        let spread = self.client.parts.tokens.spread;
        let token = kept.and_then(|kept| Token::from_kept(&kept, &place.digest, spread));
        let better =
            |token: &Token| token.is_usable(Timestamp::now()) && known.is_none_or(|known| token.replaces(known));
        Ok(token.filter(better))
    }

    /// Asks the token endpoint.
    async fn ask(&self) -> Result<Token, Failure> {
        let egress = self.client.egress();
        if let Err(refusal) = egress.check_literal(self.grant.token_url()) {
            return Err(Failure::unanswered(&Error::Egress(refusal)));
        }
        let mut request = self.grant.request();
        request.identity = self.identity.clone();
        let asked = Timestamp::now();
        let answered = match timeout(TOKEN_TIMEOUT, self.client.exchange(request)).await {
            Ok(answered) => answered,
            Err(_) => Err(Error::Timeout(TOKEN_TIMEOUT)),
        };
        let response = answered.map_err(|error| Failure::unanswered(&error))?;
        let granted = answer::read(&response, Timestamp::now())?;
        let token = Token::of(&granted, asked, self.client.parts.tokens.spread);
        token.ok_or_else(|| Failure::refused("the token endpoint gave a token that no request can carry"))
    }
}

/// What a vault answers, if it does so in time.
async fn soon<T>(asked: impl Future<Output = Result<T, VaultError>>) -> Result<T, VaultError> {
    timeout(VAULT_TIMEOUT, asked)
        .await
        .unwrap_or_else(|_| Err(VaultError("no answer in time".to_owned())))
}
