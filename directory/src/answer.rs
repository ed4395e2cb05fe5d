//! Every question of the API and its answer, whichever face it came through.
//!
//! Questions about customers stand here, those about shards in `shards.rs`.

mod shards;

use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::StatusCode;
use sluice_model::{CustomerId, Position};
use sluice_service::Problem;
use sluice_shard::CustomerColumn;

use crate::{
    api::{CustomerRoutes, Destination, MAX_QUESTIONS, ReadQuestions, Route, RouteAnswer, Routes, WriteQuestions},
    placement::{Policy, Question},
    registration::{Registrar, chain},
    store::{PasswordError, Placing, ResolveError, Store, StoreError, StoredShard},
};

/// The opened directory.
#[derive(Debug)]
pub struct Directory {
    store: Store,
    registrar: Registrar,
    policy: Policy,
    customer_column: CustomerColumn,
    /// Whether its NATS face has lost its subscriptions.
    deaf: AtomicBool,
}

impl Directory {
    /// A directory over this store, for shards of the registrar's journal, in which the customer's column has this name.
    pub fn new(store: Store, registrar: Registrar, policy: Policy, customer_column: CustomerColumn) -> Self {
        Self { store, registrar, policy, customer_column, deaf: AtomicBool::new(false) }
    }

    /// Its NATS face is asked nothing any more.
    pub(crate) fn set_deaf(&self) {
        self.deaf.store(true, Ordering::Relaxed);
    }

    /// Whether it can be asked over NATS, as far as this process knows.
    pub(crate) fn listens(&self) -> bool {
        !self.deaf.load(Ordering::Relaxed)
    }

    /// Who registers shards.
    pub(crate) fn registrar(&self) -> &Registrar {
        &self.registrar
    }

    /// The store beneath.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// Where a customer's event belongs, with credentials. Places an unknown customer by policy.
    ///
    /// # Errors
    /// 404 where it is refused, 422 for a position of another partition, 503 where no shard is open or the store fails.
    pub async fn write_one(&self, customer: CustomerId, at: Option<Position>) -> Result<Destination, Problem> {
        let question = Question { customer, at };
        self.check(&question, "query: at")?;
        let answers = self.store.resolve(std::slice::from_ref(&question), self.policy).await.map_err(unresolved)?;
        match answers.into_iter().next() {
            Some(RouteAnswer::Placed(route)) => self.destination(route).await,
            _ => Err(unknown(&question.customer, at)),
        }
    }

    /// [`Directory::write_one`] for many and without credentials; a refusal is an answer here. All in one transaction.
    ///
    /// # Errors
    /// 422 for too many questions or a position of another partition, 503 where no shard is open or the store fails.
    pub async fn write_many(&self, questions: WriteQuestions) -> Result<Routes<RouteAnswer>, Problem> {
        limit(questions.customers.len())?;
        let questions: Vec<_> = questions
            .customers
            .into_iter()
            .map(|question| Question { customer: question.customer, at: question.at.map(|at| at.0) })
            .collect();
        for (index, question) in questions.iter().enumerate() {
            self.check(question, &format!("/customers/{index}/at"))?;
        }
        let routes = self.store.resolve(&questions, self.policy).await.map_err(unresolved)?;
        Ok(Routes { routes })
    }

    /// Where a customer's rows are, with credentials. Never places.
    ///
    /// # Errors
    /// 404 where it is not placed, 503 where the store fails.
    pub async fn read_one(&self, customer: CustomerId) -> Result<Destination, Problem> {
        let newest = self.customer(customer).await?.routes.pop().expect("a customer without routes is not found");
        self.destination(newest).await
    }

    /// Where these customers' rows are; null for one that is not placed.
    ///
    /// # Errors
    /// 422 for too many questions, 503 where the store fails.
    pub async fn read_many(&self, questions: ReadQuestions) -> Result<Routes<Option<Route>>, Problem> {
        limit(questions.customers.len())?;
        let known = self.store.known(&questions.customers).await.map_err(unavailable)?;
        let newest = |customer| known.get(customer)?.routes.last().cloned();
        Ok(Routes { routes: questions.customers.iter().map(newest).collect() })
    }

    /// A customer's routes.
    ///
    /// # Errors
    /// 404 where there are none, 503 where the store fails.
    pub async fn customer(&self, customer: CustomerId) -> Result<CustomerRoutes, Problem> {
        let known = self.store.known(std::slice::from_ref(&customer)).await.map_err(unavailable)?;
        let routes = known.into_values().next().map(|known| known.routes).unwrap_or_default();
        if routes.is_empty() { Err(unknown(&customer, None)) } else { Ok(CustomerRoutes { customer, routes }) }
    }

    /// Places a customer by hand, or confirms where it is.
    ///
    /// # Errors
    /// 404 for an unknown shard; 409 where it is on another one, or this one takes no (more) customers.
    pub async fn place(&self, customer: CustomerId, shard: &str) -> Result<CustomerRoutes, Problem> {
        let conflict = |code: &str, detail: String| Err(Problem::new(StatusCode::CONFLICT, code, detail).at("/shard"));
        match self.store.place(&customer, shard).await.map_err(unavailable)? {
            Placing::There(_) => self.customer(customer).await,
            Placing::Elsewhere(route) => conflict(
                "already_placed",
                format!("customer {customer} is on shard {}; moving a customer is not possible yet", route.shard),
            ),
            Placing::NotOpen(state) => {
                conflict("shard_not_open", format!("shard {shard} is {state} and takes no new customers"))
            }
            Placing::Held => conflict(
                "shard_held",
                format!(
                    "shard {shard} takes new customers only once every shard that had rows when it was registered has said whose: \
                     {customer} may be among them"
                ),
            ),
            Placing::Taken(tenant) => {
                conflict("shard_taken", format!("shard {shard} is dedicated, and customer {tenant} is on it"))
            }
            Placing::NoSuchShard => Err(no_such_shard(shard).at("/shard")),
        }
    }

    /// A position of another partition is a mistake; noted as a refusal, it would shut the customer out for long.
    fn check(&self, question: &Question, pointer: &str) -> Result<(), Problem> {
        let Some(at) = question.at else { return Ok(()) };
        let wanted = self.registrar.partitions().of(&question.customer);
        if at.partition() == wanted {
            return Ok(());
        }
        let detail = format!(
            "position {at} is in partition {}; customer {}'s events are in partition {wanted}",
            at.partition(),
            question.customer
        );
        Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "wrong_partition", detail).at(pointer))
    }

    async fn destination(&self, route: Route) -> Result<Destination, Problem> {
        let stored = self.stored(&route.shard).await?;
        let password = self.store.password(&stored).await;
        let password = password.map_err(|error| password_unreadable(&stored.name, &error))?;
        Ok(stored.with_password(password).destination(route.from))
    }

    async fn stored(&self, name: &str) -> Result<StoredShard, Problem> {
        let stored = self.store.shard(name).await.map_err(unavailable)?;
        let gone =
            || Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "shard_gone", format_args!("shard {name} is gone"));
        stored.ok_or_else(gone)
    }
}

fn limit(questions: usize) -> Result<(), Problem> {
    if questions <= MAX_QUESTIONS {
        return Ok(());
    }
    let detail = format!("{questions} questions; a request holds at most {MAX_QUESTIONS}");
    Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "too_many_questions", detail).at("/customers"))
}

fn unknown(customer: &CustomerId, at: Option<Position>) -> Problem {
    let when = at.map(|at| format!(" at position {at}")).unwrap_or_default();
    let detail =
        format!("customer {customer} has no place{when}; `directory customer place {customer} SHARD` gives one");
    Problem::new(StatusCode::NOT_FOUND, "unknown_customer", detail).at("path: customer")
}

fn password_unreadable(shard: &str, error: &PasswordError) -> Problem {
    let detail = format!("shard {shard}: {}", chain(error));
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "password_unreadable", detail).retry_after(5)
}

fn no_such_shard(name: &str) -> Problem {
    let detail = format!("there is no shard {name:?}; `directory shard list` names them");
    Problem::new(StatusCode::NOT_FOUND, "no_such_shard", detail)
}

fn unresolved(error: ResolveError) -> Problem {
    match error {
        ResolveError::NoOpenShard(error) => {
            tracing::warn!(customer = %error.customer, "a new customer has to wait: no shard of the shared pool is open");
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "no_open_shard", error).retry_after(5)
        }
        ResolveError::Store(error) => unavailable(error),
    }
}

/// Logs what went wrong here, where it ends, and tells the caller to come again.
fn unavailable(error: StoreError) -> Problem {
    tracing::error!(error = &error as &dyn std::error::Error, "the meta database failed");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "meta_unavailable", chain(&error)).retry_after(1)
}
