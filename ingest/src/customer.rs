//! Whose event it is, as the path and the header say.

use axum::{
    extract::{Path, rejection::PathRejection},
    http::{HeaderMap, StatusCode},
};
use sluice_model::{CustomerId, Reason};
use sluice_service::Problem;

/// Who the caller says the customer is; it identifies, it does not authenticate.
pub const CUSTOMER_HEADER: &str = "x-customer-id";

/// The path's customer.
///
/// # Errors
/// 400 where it is none; 403 where the header says another one.
pub fn customer_of(path: Result<Path<String>, PathRejection>, headers: &HeaderMap) -> Result<CustomerId, Problem> {
    let Path(path) = path.map_err(|rejection| invalid(rejection.body_text()))?;
    let customer: CustomerId = path.parse().map_err(|e| invalid(format!("{path:?} is {e}")))?;
    agree(&customer, headers)?;
    Ok(customer)
}

fn invalid(detail: String) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, Reason::InvalidCustomer.code(), detail).at("path: customer_id")
}

/// Whether the header, if there is one, says the same customer.
///
/// # Errors
/// 403 where it does not.
pub fn agree(customer: &CustomerId, headers: &HeaderMap) -> Result<(), Problem> {
    for header in headers.get_all(CUSTOMER_HEADER) {
        if header.as_bytes() != customer.as_str().as_bytes() {
            let detail = format!("X-Customer-ID is {header:?}, the path says {customer}; they have to agree");
            let problem = Problem::new(StatusCode::FORBIDDEN, Reason::CustomerMismatch.code(), detail);
            return Err(problem.at("header: X-Customer-ID"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_has_to_equal_the_path() {
        let path = || Ok(Path("42".to_owned()));
        let headers = |values: &[&str]| {
            values.iter().map(|v| (CUSTOMER_HEADER.parse().unwrap(), v.parse().unwrap())).collect::<HeaderMap>()
        };
        assert_eq!(customer_of(path(), &HeaderMap::new()).unwrap().as_str(), "42");
        assert!(customer_of(path(), &headers(&["42"])).is_ok());
        assert_eq!(customer_of(path(), &headers(&["43"])).unwrap_err().status, 403);
        assert_eq!(customer_of(path(), &headers(&["42", "43"])).unwrap_err().status, 403);
        assert_eq!(customer_of(Ok(Path("a.b".to_owned())), &HeaderMap::new()).unwrap_err().status, 400);
    }
}
