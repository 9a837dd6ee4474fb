//! `version`: of this program, and of the controllers in the cluster.

use crate::failure::Failure;
use crate::objects::Deployment;

/// Version of this program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What is shown. A cluster that cannot be asked is no failure, as the program has a version all the same.
pub fn text(controllers: Result<Vec<Deployment>, Failure>) -> String {
    let mut text = format!("cfgwctl version {VERSION}\n");
    match controllers {
        Ok(found) if found.is_empty() => text.push_str("controller: not found\n"),
        Ok(found) => {
            for deployment in found {
                let key = deployment.metadata.key();
                let containers = &deployment.spec.template.spec.containers;
                let image = containers.first().map_or("", |it| it.image.as_str());
                text.push_str(&format!("controller: {image} (Deployment/{key})\n"));
            }
        }
        Err(failure) => text.push_str(&format!("controller: not known: {failure}\n")),
    }
    text
}
