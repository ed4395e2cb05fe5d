//! `sqlx::migrate!` takes the migrations in at compile time; without this line a new one would not be noticed.
fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
