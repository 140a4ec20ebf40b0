//! The W3C trace context: <https://www.w3.org/TR/trace-context/>.

use std::{
    fmt,
    hash::{BuildHasher as _, Hasher as _, RandomState},
};

/// Length of a `traceparent` of version 00.
const LENGTH: usize = 55;

/// The flags that version 00 and its successor define: sampled, random trace id. All others are written as zero.
const KNOWN_FLAGS: u8 = 0b11;
const SAMPLED: u8 = 0b01;
const RANDOM: u8 = 0b10;

/// Where in a trace something happens: what a `traceparent` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceContext {
    /// The whole trace. Never all zero.
    pub trace_id: [u8; 16],
    /// The span that causes what comes next. Never all zero.
    pub span_id: [u8; 8],
    /// Bit 0: the caller records this trace.
    pub flags: u8,
}

impl TraceContext {
    /// Begins a trace that is recorded.
    pub fn root() -> Self {
        let mut trace_id = [0; 16];
        let (high, low) = trace_id.split_at_mut(8);
        high.copy_from_slice(&random_id());
        low.copy_from_slice(&random_id());
        Self {
            trace_id,
            span_id: random_id(),
            flags: RANDOM | SAMPLED,
        }
    }

    /// A new span of the same trace.
    pub fn child(&self) -> Self {
        Self {
            span_id: random_id(),
            ..*self
        }
    }

    /// The same place in a trace that no one records.
    pub fn unsampled(&self) -> Self {
        Self {
            flags: self.flags & !SAMPLED,
            ..*self
        }
    }

    /// Whether the trace is recorded.
    pub fn sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// Reads a `traceparent`. None where the text is not one: the specification asks to go on as if there were none.
    ///
    /// Of a later version than 00 the known part is read, as the specification asks.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let known = bytes.get(..LENGTH)?;
        let [version] = hex(known.get(..2)?)?;
        let complete = match version {
            0 => bytes.len() == LENGTH,
            0xff => false,
            _ => bytes.len() == LENGTH || bytes.get(LENGTH) == Some(&b'-'),
        };
        let dashes = known[2] == b'-' && known[35] == b'-' && known[52] == b'-';
        if !complete || !dashes {
            return None;
        }
        let trace_id = hex(&known[3..35])?;
        let span_id = hex(&known[36..52])?;
        let [flags] = hex(&known[53..])?;
        (trace_id != [0; 16] && span_id != [0; 8]).then_some(Self {
            trace_id,
            span_id,
            flags: flags & KNOWN_FLAGS,
        })
    }
}

/// Writes a `traceparent` of version 00.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            trace_id,
            span_id,
            flags,
        } = self;
        write!(f, "00-{:032x}-", u128::from_be_bytes(*trace_id))?;
        write!(f, "{:016x}-{:02x}", u64::from_be_bytes(*span_id), flags & KNOWN_FLAGS)
    }
}

/// Eight bytes that are not all zero and that no one else is likely to choose. Ids are no secrets: the standard
/// library's random hash keys are enough, cost no system call and cannot fail.
fn random_id() -> [u8; 8] {
    loop {
        let id = RandomState::new().build_hasher().finish();
        if id != 0 {
            return id.to_be_bytes();
        }
    }
}

/// Lower-case hex alone, as the specification demands.
fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut out = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(out)
}
