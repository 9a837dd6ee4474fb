//! The five fields of cron(5): minute, hour, day of month, month, day of week. They are read here, because the `cron` crate
//! has seconds first and counts the days of a week from 1.

/// The days on which, and the times at which a text calls for something.
pub(super) struct Fields {
    minutes: Values,
    hours: Values,
    days_of_month: Values,
    months: Values,
    days_of_week: Values,
}

/// What one field allows.
#[derive(Clone, Copy)]
struct Values {
    /// A bit for each value.
    bits: u64,
    /// Whether it is written with `*` or `?`, so that it restricts nothing beside the other field for days.
    is_open: bool,
}

/// How one field is written.
struct Kind {
    name: &'static str,
    first: u8,
    last: u8,
    /// Names of the values, from `first` on.
    names: &'static [&'static str],
}

const KINDS: [Kind; 5] = [
    Kind {
        name: "minute",
        first: 0,
        last: 59,
        names: &[],
    },
    Kind {
        name: "hour",
        first: 0,
        last: 23,
        names: &[],
    },
    Kind {
        name: "day of month",
        first: 1,
        last: 31,
        names: &[],
    },
    Kind {
        name: "month",
        first: 1,
        last: 12,
        names: &[
            "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
        ],
    },
    // 0 and 7 are both Sunday.
    Kind {
        name: "day of week",
        first: 0,
        last: 7,
        names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
    },
];

const SUNDAY: u64 = 1;
const SUNDAY_TOO: u64 = 1 << 7;

impl Fields {
    /// Reads five fields. An error says what must be, without the text as a whole.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let written: Vec<_> = text.split_whitespace().collect();
        let [minutes, hours, days_of_month, months, days_of_week] = written[..] else {
            return Err(format!(
                "must be five fields (minute, hour, day of month, month, day of week) and not {}",
                written.len()
            ));
        };
        let [minute, hour, day_of_month, month, day_of_week] = &KINDS;
        let mut days_of_week = day_of_week.parse(days_of_week)?;
        if days_of_week.bits & SUNDAY_TOO != 0 {
            days_of_week.bits = days_of_week.bits & !SUNDAY_TOO | SUNDAY;
        }
        Ok(Self {
            minutes: minute.parse(minutes)?,
            hours: hour.parse(hours)?,
            days_of_month: day_of_month.parse(days_of_month)?,
            months: month.parse(months)?,
            days_of_week,
        })
    }

    /// The same for the `cron` crate. Where both fields for days are restricted, a day that matches either counts: those
    /// are two expressions, because the crate counts a day that matches both.
    pub(super) fn expressions(&self) -> Vec<String> {
        let (of_month, of_week) = (self.days_of_month, self.days_of_week);
        let any = Values {
            bits: u64::MAX,
            is_open: true,
        };
        match of_month.is_open || of_week.is_open {
            true => vec![self.expression(of_month, of_week)],
            false => vec![
                self.expression(of_month, any),
                self.expression(any, of_week),
            ],
        }
    }

    fn expression(&self, days_of_month: Values, days_of_week: Values) -> String {
        let [minute, hour, day_of_month, month, _] = &KINDS;
        format!(
            "0 {} {} {} {} {}",
            minute.listed(self.minutes, 0),
            hour.listed(self.hours, 0),
            day_of_month.listed(days_of_month, 0),
            month.listed(self.months, 0),
            WEEK.listed(days_of_week, 1),
        )
    }
}

/// The days of a week once 7 has become 0.
const WEEK: Kind = Kind {
    name: "day of week",
    first: 0,
    last: 6,
    names: &[],
};

impl Kind {
    fn parse(&self, text: &str) -> Result<Values, String> {
        let mut bits = 0;
        for item in text.split(',') {
            bits |= self.parse_item(item)?;
        }
        Ok(Values {
            bits,
            is_open: text.contains(['*', '?']),
        })
    }

    /// A value, a range or all, each with a step or without. A value with a step is a range to the end.
    fn parse_item(&self, item: &str) -> Result<u64, String> {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(self.step(step)?)),
            None => (item, None),
        };
        let (first, last) = match range.split_once('-') {
            _ if matches!(range, "*" | "?") => (self.first, self.last),
            Some((first, last)) => (self.value(first)?, self.value(last)?),
            None => {
                let value = self.value(range)?;
                (value, step.map_or(value, |_| self.last))
            }
        };
        if first > last {
            return Err(format!("must not count down in the field {}", self.name));
        }
        let values = (first..=last).step_by(usize::from(step.unwrap_or(1)));
        Ok(values.map(|value| 1 << value).sum())
    }

    fn step(&self, text: &str) -> Result<u8, String> {
        let step = number(text).filter(|step| *step > 0);
        step.ok_or_else(|| format!("must have a step of 1 or more in the field {}", self.name))
    }

    fn value(&self, text: &str) -> Result<u8, String> {
        let lower = text.to_ascii_lowercase();
        let named = self.names.iter().position(|name| *name == lower);
        let named = named.and_then(|place| Some(self.first + u8::try_from(place).ok()?));
        let value = named.or_else(|| number(text));
        let value = value.filter(|value| (self.first..=self.last).contains(value));
        value.ok_or_else(|| {
            let names = match self.names {
                [first, .., last] => format!(" or {first} to {last}"),
                _ => String::new(),
            };
            let Self {
                name, first, last, ..
            } = self;
            format!("must have values between {first} and {last}{names} in the field {name}")
        })
    }

    /// Values as a list, each so much higher; `*` for all.
    fn listed(&self, values: Values, shift: u8) -> String {
        let all = self.first..=self.last;
        let allowed: Vec<_> = all
            .clone()
            .filter(|value| values.bits >> value & 1 == 1)
            .collect();
        if allowed.len() == all.count() {
            return "*".to_owned();
        }
        let written = allowed.iter().map(|value| (value + shift).to_string());
        written.collect::<Vec<_>>().join(",")
    }
}

/// Of digits alone.
fn number(text: &str) -> Option<u8> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}
