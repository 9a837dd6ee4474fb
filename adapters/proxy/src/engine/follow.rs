//! From a rule to a backend: filters act on the request's head, and authorizers are asked.

use domain::gateway::PathMatch;
use http::Response;
use tokio::time::Instant;

use super::attempts::Target;
use super::external_auth::{self, Denial, ReadyAuth, Verdict};
use super::filters::{self, Noted, Step};
use super::retry::Retries;
use super::table::{ReadyBackend, ReadyRule};
use super::timing::Timing;
use super::{Asked, Engine, path_of};
use crate::body::ResponseBody;
use crate::local_reply::LocalReply;

/// Where a request goes whose rule is known. Moved once, where an `async fn` in between would copy the request and the
/// answer.
pub(super) enum Way<'t> {
    /// To a backend's endpoints.
    Backend(Target<'t>),
    /// Nowhere: a filter has answered.
    Answered(Box<Response<ResponseBody>>),
    /// On from a stage, once an authorizer permits it.
    Ask(&'t ReadyAuth, Stage),
    /// Nowhere: an authorizer does not permit it.
    Denied(Box<Denial>),
}

/// The rule of a request, and what follows from it.
pub(super) struct Chosen<'t> {
    pub(super) rule: &'t ReadyRule,
    pub(super) matched: &'t PathMatch,
    pub(super) backend: Option<&'t ReadyBackend>,
    pub(super) timing: Timing,
}

/// The filter that acts next.
#[derive(Clone, Copy, Default)]
pub(super) struct Stage {
    is_of_backend: bool,
    position: usize,
}

impl Engine {
    /// Asks the authorizers of a request's listener, one after the other, before any rule is looked at. `Err` is the answer where
    /// one of them does not permit it.
    pub(super) async fn pass_listener(
        &self,
        authorizers: &[ReadyAuth],
        mut asked: Asked,
        noted: &mut Noted,
    ) -> Result<Asked, Box<Response<ResponseBody>>> {
        let refused = |reply| Box::new(self.refuse(reply));
        path_of(&asked).map_err(refused)?;
        for auth in authorizers {
            let denied = self.ask(auth, &mut asked, noted, None).await;
            if let Some(denial) = denied.map_err(refused)? {
                let denied = denial.response(asked.admitted, &self.limits);
                return Err(denied.map_or_else(refused, Box::new));
            }
        }
        Ok(asked)
    }

    /// The phases of a request whose rule is known, from a stage on, before it is sent: filters on its head, and the backend.
    pub(super) fn follow<'t>(
        &self,
        chosen: &Chosen<'t>,
        from: Stage,
        asked: &mut Asked,
        noted: &mut Noted,
    ) -> Result<Way<'t>, LocalReply> {
        let Chosen {
            rule,
            matched,
            backend,
            timing,
        } = *chosen;
        let (arrival, head) = (&asked.arrival, &mut asked.head);
        if !from.is_of_backend {
            let from = from.position;
            match filters::on_request(&rule.filters, from, matched, arrival, head, noted)? {
                Step::Done => {}
                Step::Answered(mut answer) => {
                    filters::on_answer(&rule.filters, noted, answer.headers_mut());
                    return Ok(Way::Answered(answer));
                }
                Step::Ask(auth, position) => {
                    let next = Stage {
                        is_of_backend: false,
                        position,
                    };
                    return Ok(Way::Ask(auth, next));
                }
            }
        }
        let backend = backend.ok_or(LocalReply::NoBackend)?;
        let upstream = backend.upstream.as_deref().ok_or(LocalReply::NoBackend)?;
        let from = match from.is_of_backend {
            true => from.position,
            false => 0,
        };
        match filters::on_request(&backend.filters, from, matched, arrival, head, noted)? {
            Step::Done => {}
            Step::Answered(mut answer) => {
                filters::on_answer(&backend.filters, noted, answer.headers_mut());
                filters::on_answer(&rule.filters, noted, answer.headers_mut());
                return Ok(Way::Answered(answer));
            }
            Step::Ask(auth, position) => {
                let next = Stage {
                    is_of_backend: true,
                    position,
                };
                return Ok(Way::Ask(auth, next));
            }
        }
        if upstream.is_full(self.metrics.in_flight()) {
            return Err(LocalReply::Busy);
        }
        let retry = rule.policy.retry.as_ref();
        let retries = retry.zip(backend.retry_budget.as_deref());
        Ok(Way::Backend(Target {
            upstream,
            timing,
            retries: retries.map(|(retry, budget)| Retries::begin(retry, budget)),
            sticky: None,
        }))
    }

    /// The same from the first authorizer that is asked.
    pub(super) async fn ask_all<'t>(
        &self,
        chosen: &Chosen<'t>,
        (mut auth, mut next): (&'t ReadyAuth, Stage),
        asked: &mut Asked,
        noted: &mut Noted,
    ) -> Result<Way<'t>, LocalReply> {
        loop {
            let end = chosen.timing.request_end;
            if let Some(denial) = self.ask(auth, asked, noted, end).await? {
                return Ok(Way::Denied(denial));
            }
            match self.follow(chosen, next, asked, noted)? {
                Way::Ask(other, stage) => (auth, next) = (other, stage),
                way => return Ok(way),
            }
        }
    }

    /// Asks an authorizer. A request that it permits has its headers then, within the limits of every request.
    async fn ask(
        &self,
        auth: &ReadyAuth,
        asked: &mut Asked,
        noted: &mut Noted,
        end: Option<Instant>,
    ) -> Result<Option<Box<Denial>>, LocalReply> {
        let with = (&*self.limits, &*self.metrics);
        let permit = match auth.ask(asked, noted.asked_for.as_ref(), end, with).await? {
            Verdict::Permitted(permit) => permit,
            Verdict::Denied(denial) => return Ok(Some(denial)),
        };
        external_auth::apply(&permit.request, &mut asked.head.headers)?;
        self.limits.check_headers(&asked.head.headers)?;
        noted.edits.extend(permit.answer);
        Ok(None)
    }
}
