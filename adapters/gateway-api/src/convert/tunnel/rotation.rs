//! `spec.tunnel.token.rotation`.

use domain::gateway::RotationParameters;
use domain::rotation::{Schedule, ScheduleField};

use crate::fields::Fields;
use crate::types::{ParametersSchedule, ParametersTunnel};

pub(in crate::convert) fn read(fields: &Fields, written: &ParametersTunnel) -> RotationParameters {
    let token = written.token.as_ref();
    let Some(written) = token.and_then(|token| token.rotation.as_ref()) else {
        return RotationParameters::default();
    };
    let schedule = written.schedule.as_ref();
    match schedule.map(|written| schedule_of(fields, written)) {
        Some(None) => RotationParameters {
            is_enabled: Some(false),
            schedule: None,
        },
        schedule => RotationParameters {
            is_enabled: written.enabled,
            schedule: schedule.flatten(),
        },
    }
}

/// `None` where it is noted as a field error.
fn schedule_of(fields: &Fields, written: &ParametersSchedule) -> Option<Schedule> {
    let read = Schedule::parse(&written.cron, written.time_zone.as_deref());
    read.map_err(|error| {
        let field = match error.field {
            ScheduleField::Cron => "cron",
            ScheduleField::TimeZone => "timeZone",
        };
        let field = format!("spec.tunnel.token.rotation.schedule.{field}");
        fields.invalid(field, error.message);
    })
    .ok()
}
