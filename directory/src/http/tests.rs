use serde_json::{Value, json};
use sluice_model::Position;
use sluice_shard::CustomerColumn;
use sqlx::{Connection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

use super::*;
use crate::{
    Client,
    api::Pool,
    placement::Policy,
    registration::Registrar,
    store::{Earlier, Store},
};

/// A directory over an empty journal of four partitions.
pub(crate) async fn directory(folder: &TempDir, policy: Policy) -> Directory {
    sluice_service::telemetry::init_for_test();
    let store = Store::open(&format!("sqlite://{}", folder.path().join("meta.db").display()), None).await.unwrap();
    Directory::new(store, Registrar::for_empty_journal("j1", 4.try_into().unwrap()), policy, CustomerColumn::default())
}

/// A SQLite file of the folder that is to become a shard.
pub(crate) fn new_sqlite(folder: &TempDir, name: &str) -> NewShard {
    api::parse(sqlite(folder, name).to_string().as_bytes()).unwrap()
}

pub(super) fn sqlite(folder: &TempDir, name: &str) -> Value {
    json!({"name": name, "flavor": "sqlite", "database": folder.path().join(format!("{name}.db"))})
}

/// The face on a free port, over a meta database of its own.
pub(super) struct Served {
    pub(super) folder: TempDir,
    pub(super) directory: Arc<Directory>,
    pub(super) base: String,
    pub(super) http: reqwest::Client,
}

impl Served {
    pub(super) async fn start(policy: Policy) -> Self {
        Self::start_with(policy, Tokens::default()).await
    }

    pub(super) async fn start_with(policy: Policy, tokens: Tokens) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let slot = Slot::default();
        let directory = Arc::new(directory(&folder, policy).await);
        slot.open(Arc::clone(&directory));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        // It ends with the test's runtime.
        tokio::spawn(async move { axum::serve(listener, router(slot, Arc::new(tokens), DiskSync::default())).await });
        Self { folder, directory, base, http: reqwest::Client::builder().no_proxy().build().unwrap() }
    }

    pub(super) async fn send(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let mut request = self.http.request(method.parse().unwrap(), format!("{}{path}", self.base));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        let kind = response.headers()[header::CONTENT_TYPE].to_str().unwrap().to_owned();
        let status = response.status();
        assert_eq!(kind, if status.is_success() { "application/json" } else { "application/problem+json" }, "{path}");
        (status.as_u16(), response.json().await.unwrap())
    }

    pub(super) async fn get(&self, path: &str) -> (u16, Value) {
        self.send("GET", path, None).await
    }

    async fn add_sqlite(&self, name: &str) {
        let (status, body) = self.send("POST", "/shards", Some(sqlite(&self.folder, name))).await;
        assert_eq!(status, 201, "{body}");
    }

    fn client(&self) -> Client {
        Client::over_http(&self.base, Duration::from_secs(10), None).unwrap()
    }
}

pub(super) fn code(body: &Value) -> &str {
    body["code"].as_str().unwrap()
}

/// A position in the customer's own partition.
fn position(customer: &CustomerId, sequence: u64) -> Position {
    let partitions = sluice_model::PartitionCount::try_from(4).unwrap();
    Position::new(Position::before_first(partitions.of(customer)).get() + sequence).unwrap()
}

#[tokio::test]
async fn a_new_customer_is_placed_and_the_answer_has_the_originals_fields() {
    let served = Served::start(Policy::Auto).await;
    let (status, body) = served.get("/write/42").await;
    assert_eq!((status, code(&body), &body["retry_safe"]), (503, "no_open_shard", &json!(true)));
    assert!(body["detail"].as_str().unwrap().contains("directory shard add"), "{body}");
    assert_eq!(served.get("/read/42").await.0, 404, "a refused placement left a route");

    served.add_sqlite("a").await;
    let path = served.folder.path().join("a.db");
    let wanted = json!({"host": "", "port": 0, "flavor": "sqlite", "user": "", "password": "", "database": path,
        "shard": "a", "from": 0});
    assert_eq!(served.get("/write/42").await, (200, wanted.clone()));
    assert_eq!(served.get("/read/42").await, (200, wanted));
    let routes = json!({"customer": "42", "routes": [{"shard": "a", "from": 0}]});
    assert_eq!(served.get("/customers/42").await, (200, routes));
    let (status, body) = served.get("/read/43").await;
    assert_eq!((status, code(&body)), (404, "unknown_customer"));
}

#[tokio::test]
async fn under_strict_placement_a_refusal_holds_for_its_position_and_a_later_placement_begins_after_it() {
    let served = Served::start(Policy::Strict).await;
    served.add_sqlite("a").await;
    let customer: CustomerId = "42".parse().unwrap();
    let (asked, next) = (position(&customer, 9), position(&customer, 10));
    let (status, body) = served.get(&format!("/write/42?at={asked}")).await;
    assert_eq!((status, code(&body)), (404, "unknown_customer"));
    let (status, body) = served.send("PUT", "/customers/42", Some(json!({"shard": "a"}))).await;
    assert_eq!((status, &body["routes"]), (200, &json!([{"shard": "a", "from": next.get()}])));
    assert_eq!(served.get(&format!("/write/42?at={asked}")).await.0, 404);
    assert_eq!(served.get(&format!("/write/42?at={next}")).await.0, 200);
    let questions = json!({"customers": [{"customer": "42", "at": asked}, {"customer": "42", "at": next},
        {"customer": "42"}, {"customer": "unknown"}]});
    let (status, body) = served.send("POST", "/write", Some(questions)).await;
    let placed = json!({"shard": "a", "from": next.get()});
    assert_eq!((status, body), (200, json!({"routes": [{"refused": true}, placed, placed, {"refused": true}]})));
}

#[tokio::test]
async fn placing_by_hand_answers_each_obstacle_with_its_own_status() {
    let served = Served::start(Policy::Auto).await;
    served.add_sqlite("a").await;
    let mut dedicated = sqlite(&served.folder, "ded");
    dedicated["pool"] = json!("dedicated");
    assert_eq!(served.send("POST", "/shards", Some(dedicated)).await.0, 201);
    for (customer, shard, status, wanted) in [
        ("1", "ded", 200, None),
        ("1", "ded", 200, None),
        ("1", "a", 409, Some("already_placed")),
        ("2", "ded", 409, Some("shard_taken")),
        ("2", "none", 404, Some("no_such_shard")),
        ("a.b", "a", 400, Some("invalid_customer")),
    ] {
        let answer = served.send("PUT", &format!("/customers/{customer}"), Some(json!({"shard": shard}))).await;
        assert_eq!((answer.0, answer.1["code"].as_str()), (status, wanted), "{}", answer.1);
    }
}

#[tokio::test]
async fn a_bad_request_is_told_what_and_where() {
    let served = Served::start(Policy::Auto).await;
    let other_partition = position(&"1".parse().unwrap(), 1).get() ^ (1 << 44);
    let long = json!({"customers": vec!["1"; 1_001]});
    let wrong = json!({"customers": [{"customer": "1"}, {"customer": "1", "at": other_partition}]});
    let cases = [
        ("GET", "/nothing/here", None, 404, "no_such_path", "path: /nothing/here"),
        ("DELETE", "/shards", None, 405, "no_such_method", ""),
        ("GET", "/write/a.b", None, 400, "invalid_customer", "path: customer"),
        ("GET", "/read/%FF", None, 400, "invalid_customer", "path: customer"),
        ("GET", "/write/1?at=x", None, 400, "invalid_query", "query: at"),
        ("GET", "/write/1?at=9007199254740992", None, 400, "invalid_query", "query: at"),
        ("GET", "/write/1?when=1", None, 400, "invalid_query", "query: at"),
        (
            "POST",
            "/write",
            Some(json!({"customers": [{"customer": ">"}]})),
            422,
            "invalid_field",
            "/customers/0/customer",
        ),
        ("POST", "/write", Some(json!({"customers": [], "x": 1})), 422, "invalid_field", "/x"),
        ("POST", "/write", Some(wrong), 422, "wrong_partition", "/customers/1/at"),
        ("POST", "/read", Some(json!({"customers": ["1", 2]})), 422, "invalid_field", "/customers/1"),
        ("POST", "/read", Some(long), 422, "too_many_questions", "/customers"),
        ("POST", "/read", None, 415, "not_json", "header: Content-Type"),
        (
            "POST",
            "/shards",
            Some(json!({"name": "a", "flavor": "db2", "database": "d"})),
            422,
            "invalid_field",
            "/flavor",
        ),
        (
            "POST",
            "/shards",
            Some(json!({"name": "A", "flavor": "sqlite", "database": "/d"})),
            422,
            "invalid_field",
            "/name",
        ),
        ("PUT", "/customers/1", Some(json!({"shard": "a", "force": true})), 422, "invalid_field", "/force"),
    ];
    for (method, path, body, status, code, pointer) in cases {
        let (got, problem) = served.send(method, path, body).await;
        let told = (problem["code"].as_str().unwrap(), problem["pointer"].as_str().unwrap_or(""));
        assert_eq!((got, told), (status, (code, pointer)), "{method} {path}: {problem}");
        assert_eq!(problem["retry_safe"], json!(false));
    }
    let big = served.http.post(format!("{}/read", served.base)).header("content-type", "application/json");
    assert_eq!(big.body(vec![b' '; BODY_BYTES + 1]).send().await.unwrap().status(), 413);
}

#[tokio::test]
async fn a_registered_database_bears_its_identity_and_a_position_for_every_partition() {
    use sluice_shard::{Identity, Shard};
    let served = Served::start(Policy::Auto).await;
    served.add_sqlite("a").await;
    let entry = served.client().shards().await.unwrap().remove(0);
    let identity = Identity { shard: "a".to_owned(), journal_id: "j1".to_owned() };
    let mut shard = Shard::connect(&entry.address, &identity).await.unwrap();
    let stored: Vec<_> = shard.positions().await.unwrap().into_values().map(|stored| stored.position).collect();
    let partitions = sluice_model::PartitionCount::try_from(4).unwrap();
    assert_eq!(stored, partitions.all().map(Position::before_first).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_name_and_a_database_are_registered_once() {
    let served = Served::start(Policy::Auto).await;
    served.add_sqlite("a").await;
    let (status, body) = served.send("POST", "/shards", Some(sqlite(&served.folder, "a"))).await;
    assert_eq!((status, code(&body)), (409, "shard_exists"));
    // Another name for the same database: its identity row says whose it is.
    let mut second = sqlite(&served.folder, "a");
    second["name"] = json!("b");
    let (status, body) = served.send("POST", "/shards", Some(second)).await;
    assert_eq!((status, code(&body)), (422, "shard_refused"), "{body}");
    assert!(body["detail"].as_str().unwrap().contains("the database is shard \"a\""), "{body}");
    let (_, listed) = served.get("/shards").await;
    assert_eq!(listed["shards"].as_array().unwrap().len(), 1, "{listed}");
}

#[tokio::test]
async fn a_database_that_does_not_answer_becomes_no_shard_and_its_password_is_not_repeated() {
    let served = Served::start(Policy::Auto).await;
    // Bound and dropped at once: connections are refused.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let new = json!({"name": "a", "flavor": "postgres", "host": "127.0.0.1", "port": port, "user": "u",
        "password": "hunter2", "database": "d"});
    let (status, body) = served.send("POST", "/shards", Some(new)).await;
    assert_eq!((status, code(&body), &body["retry_safe"]), (502, "shard_unreachable", &json!(true)), "{body}");
    assert!(!body.to_string().contains("hunter2"), "{body}");
    assert_eq!(served.get("/shards").await, (200, json!({"shards": []})));
    let (status, body) = served.get("/write/1").await;
    assert_eq!((status, code(&body)), (503, "no_open_shard"), "a database that never answered took a customer");
}

#[tokio::test]
async fn lists_never_hold_a_password_and_credentials_do() {
    let served = Served::start(Policy::Auto).await;
    let directory = directory(&served.folder, Policy::Auto).await;
    let new = json!({"name": "pg", "flavor": "postgres", "host": "h", "port": 1, "user": "u", "password": "hunter2",
        "database": "d"});
    directory
        .store()
        .add_shard(&api::parse(new.to_string().as_bytes()).unwrap(), &[], &Earlier::default())
        .await
        .unwrap();
    let (_, listed) = served.get("/shards").await;
    let wanted = json!({"name": "pg", "flavor": "postgres", "host": "h", "port": 1, "user": "u", "database": "d",
        "pool": "shared", "state": "open", "weight": 1, "customers": 0, "rows": null, "bytes": null, "measured_ms": null,
        "measured_ago_ms": null, "asked_ms": null, "asked_ago_ms": null, "answers": true});
    assert_eq!(listed, json!({"shards": [wanted]}));
    let (_, full) = served.get("/shards/credentials").await;
    assert_eq!(full["shards"][0]["password"], json!("hunter2"));
    let (_, one) = served.get("/write/1").await;
    assert_eq!(one["password"], json!("hunter2"));
    let entries = served.client().shards().await.unwrap();
    assert!(!format!("{entries:?} {directory:?}").contains("hunter2"));
}

#[tokio::test]
async fn the_client_asks_for_more_than_a_batch_and_keeps_the_order() {
    let served = Served::start(Policy::Auto).await;
    for name in ["a", "b"] {
        served.add_sqlite(name).await;
    }
    let client = served.client();
    let customers: Vec<CustomerId> = (0..2_500).map(|n| format!("c{n}").parse().unwrap()).collect();
    let questions: Vec<_> = customers.iter().map(|c| (c.clone(), position(c, 5))).collect();
    let written = client.write_routes(&questions).await.unwrap();
    let read = client.read_routes(&customers).await.unwrap();
    assert_eq!(written.len(), 2_500);
    for (index, (written, read)) in written.iter().zip(read).enumerate() {
        let shard = if index % 2 == 0 { "a" } else { "b" };
        let route = Route { shard: shard.to_owned(), from: Position::new(0).unwrap() };
        assert_eq!((written, read), (&RouteAnswer::Placed(route.clone()), Some(route)));
    }
    assert_eq!(client.read_routes(&["nobody".parse().unwrap()]).await.unwrap(), [None]);
    assert_eq!(client.write_routes(&[]).await.unwrap(), []);
    let pools: Vec<_> = client.shards().await.unwrap().into_iter().map(|entry| (entry.name, entry.pool)).collect();
    assert_eq!(pools, [("a".to_owned(), Pool::Shared), ("b".to_owned(), Pool::Shared)]);
}

#[tokio::test]
async fn the_client_says_whether_asking_again_may_help() {
    let served = Served::start(Policy::Auto).await;
    let customer: CustomerId = "1".parse().unwrap();
    let at = position(&customer, 1);
    let waiting = served.client().write_routes(&[(customer.clone(), at)]).await.unwrap_err();
    assert!(waiting.is_transient() && waiting.to_string().contains("no_open_shard"), "{waiting}");
    let wrong = Position::new(at.get() ^ (1 << 44)).unwrap();
    let refused = served.client().write_routes(&[(customer, wrong)]).await.unwrap_err();
    assert!(!refused.is_transient(), "{refused}");
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gone = Client::over_http(&format!("http://{nobody}"), Duration::from_secs(5), None).unwrap();
    assert!(gone.shards().await.unwrap_err().is_transient());
}

#[tokio::test]
async fn a_shard_is_drained_closed_and_taken_out_and_each_obstacle_is_named() {
    let served = Served::start(Policy::Auto).await;
    for name in ["a", "b"] {
        served.add_sqlite(name).await;
    }
    let (status, body) = served.send("PATCH", "/shards/a", Some(json!({"state": "draining", "weight": 3}))).await;
    assert_eq!((status, &body["state"], &body["weight"]), (200, &json!("draining"), &json!(3)), "{body}");
    let (_, body) = served.get("/write/1").await;
    assert_eq!(body["shard"], "b", "a new customer went to a shard that is drained");
    let close = |name: &str| (format!("/shards/{name}"), json!({"state": "closed"}));
    for (method, path, body, status, wanted) in [
        ("DELETE", "/shards/a".to_owned(), None, 409, Some("shard_not_closed")),
        ("PATCH", close("b").0, Some(close("b").1), 200, None),
        ("DELETE", "/shards/b".to_owned(), None, 409, Some("shard_occupied")),
        ("PATCH", close("none").0, Some(close("none").1), 404, Some("no_such_shard")),
        ("DELETE", "/shards/none".to_owned(), None, 404, Some("no_such_shard")),
        ("PATCH", "/shards/a".to_owned(), Some(json!({"colour": "red"})), 422, Some("invalid_field")),
        ("PATCH", "/shards/a".to_owned(), Some(json!({"password": "p"})), 422, Some("invalid_field")),
        ("PATCH", close("a").0, Some(close("a").1), 200, None),
    ] {
        let answer = served.send(method, &path, body).await;
        assert_eq!((answer.0, answer.1["code"].as_str()), (status, wanted), "{method} {path}: {}", answer.1);
    }
    let (status, body) = served.get("/write/2").await;
    assert_eq!((status, code(&body)), (503, "no_open_shard"));
    let gone = served.http.delete(format!("{}/shards/a", served.base)).send().await.unwrap();
    assert_eq!(gone.status(), 204);
    let (_, listed) = served.get("/shards").await;
    let names: Vec<_> = listed["shards"].as_array().unwrap().iter().map(|shard| shard["name"].clone()).collect();
    assert_eq!(names, ["b"]);
}

#[tokio::test]
async fn a_shard_is_led_to_another_place_only_where_the_same_shard_is() {
    let served = Served::start(Policy::Auto).await;
    for name in ["a", "b"] {
        served.add_sqlite(name).await;
    }
    let to = |file: &str| json!({"database": served.folder.path().join(file)});
    let (status, body) = served.send("PATCH", "/shards/a", Some(to("b.db"))).await;
    assert_eq!((status, code(&body)), (422, "shard_refused"), "{body}");
    assert!(body["detail"].as_str().unwrap().contains(r#"is shard "b""#), "{body}");
    let (status, body) = served.send("PATCH", "/shards/a", Some(to("missing.db"))).await;
    assert_eq!((status, code(&body)), (422, "shard_refused"), "{body}");
    let before = served.client().shards().await.unwrap();
    assert!(before[0].address.database.ends_with("a.db"), "a refused change was stored");
    // The same file, moved.
    std::fs::rename(served.folder.path().join("a.db"), served.folder.path().join("moved.db")).unwrap();
    let (status, body) = served.send("PATCH", "/shards/a", Some(to("moved.db"))).await;
    assert_eq!(status, 200, "{body}");
    let after = served.client().shards().await.unwrap();
    assert!(after[0].address.database.ends_with("moved.db") && after[0].version > before[0].version);
}

#[tokio::test]
async fn the_list_says_what_each_shard_holds_and_whether_it_answers() {
    let served = Served::start(Policy::Auto).await;
    served.add_sqlite("a").await;
    let file = served.folder.path().join("a.db");
    let mut connection =
        sqlx::SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(&file)).await.unwrap();
    let rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
        INSERT INTO person SELECT 'c', i, 'name', 'address' FROM n";
    sqlx::raw_sql(rows).execute(&mut connection).await.unwrap();
    let measure = async || {
        for shard in served.directory.store().shards().await.unwrap() {
            served.directory.measure(shard).await;
        }
        served.get("/shards").await.1["shards"][0].clone()
    };
    let listed = measure().await;
    assert_eq!((&listed["rows"], &listed["answers"]), (&json!(5_000), &json!(true)), "{listed}");
    assert!(listed["bytes"].as_u64().unwrap() > 100_000 && listed["measured_ms"].as_i64().unwrap() > 0, "{listed}");
    assert_eq!(listed["asked_ms"], listed["measured_ms"]);
    assert!(listed["asked_ago_ms"].as_u64().unwrap() < 60_000, "{listed}");
    let answered = listed["measured_ms"].as_i64().unwrap();
    std::fs::rename(&file, served.folder.path().join("away.db")).unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    let listed = measure().await;
    assert_eq!(listed["measured_ms"].as_i64(), Some(answered), "what it held is as old as it is");
    assert!(listed["asked_ms"].as_i64().unwrap() > answered, "{listed}");
    assert_eq!((&listed["rows"], &listed["answers"]), (&json!(5_000), &json!(false)), "{listed}");
    assert!(listed["trouble"].as_str().unwrap().contains("a.db cannot be this shard"), "{listed}");
}

#[tokio::test]
async fn customers_whose_rows_came_before_the_directory_stay_where_those_are() {
    let served = Served::start(Policy::Auto).await;
    // It was written without a directory: a shard of that name and journal, with rows.
    let other = Served::start(Policy::Auto).await;
    other.send("POST", "/shards", Some(sqlite(&served.folder, "main"))).await;
    let file = served.folder.path().join("main.db");
    let mut connection =
        sqlx::SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(&file)).await.unwrap();
    let row = |customer: &str| format!("INSERT INTO person VALUES ('{customer}', 1024, 'n', 'a')");
    sqlx::raw_sql(&row("old")).execute(&mut connection).await.unwrap();
    served.add_sqlite("main").await;
    // One more row came before the writers were told; nobody has asked for that customer since.
    sqlx::raw_sql(&row("late")).execute(&mut connection).await.unwrap();
    // What no customer can have as its name keeps nobody else out.
    sqlx::raw_sql(&row("no one")).execute(&mut connection).await.unwrap();
    served.add_sqlite("empty").await;
    for (customer, shard) in [("old", "main"), ("late", "main"), ("new", "empty")] {
        assert_eq!(served.get(&format!("/write/{customer}")).await.1["shard"], shard, "{customer}");
    }
    other.send("POST", "/shards", Some(sqlite(&served.folder, "more"))).await;
    let file = served.folder.path().join("more.db");
    let mut connection =
        sqlx::SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(&file)).await.unwrap();
    sqlx::raw_sql(&row("no one")).execute(&mut connection).await.unwrap();
    let (status, body) = served.send("POST", "/shards", Some(sqlite(&served.folder, "more"))).await;
    assert_eq!((status, code(&body)), (422, "rows_of_nobody"), "{body}");
}
