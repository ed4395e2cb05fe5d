use async_nats::{ConnectOptions, Error, jetstream, jetstream::message::PublishMessage};

/// Stores a person of a customer. With the same key again it is stored once: then the answer is
/// true.
async fn publish(url: &str, password: &str, customer: &str, key: &str, person: &str) -> Result<bool, Error> {
    let options = ConnectOptions::with_user_and_password("publisher".into(), password.into());
    let client = options.custom_inbox_prefix("_INBOX_publisher").connect(url).await?;
    let message = PublishMessage::build().payload(person.to_owned().into());
    let message = message.message_id(format!("{customer}/{key}"));
    let subject = format!("person.create.{customer}");
    let ack = jetstream::new(client).send_publish(subject, message).await?.await?;
    Ok(ack.duplicate)
}
