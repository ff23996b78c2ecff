//! Every bound of the product, with its unit in its name. Reaching one is a decided outcome.

/// Largest picture that is decoded, in pixels (12 megapixels). Checked on the header, before any
/// allocation.
pub const FRAME_PIXELS_MAX: usize = 12_000_000;
/// Bytes of one frame slot: the largest picture as packed RGB.
pub const SLOT_BYTES: usize = FRAME_PIXELS_MAX * 3;
/// Longest edge of a picture in pixels; a 1 × 12,000,000 strip is not a photograph.
pub const FRAME_EDGE_PX_MAX: u32 = 16_384;
/// Frame slots: one transaction needs one per image, the rest is concurrency.
pub const SLOTS: usize = 16;
/// Lanes of one appliance.
pub const LANES_MAX: usize = 32;
/// Frame slots that each lane adds: the frame that is judged, and the next one.
pub const LANE_SLOTS: usize = 2;
/// First wait before a lane's failed source is opened again, in microseconds; each failure in a row
/// doubles it.
pub const LANE_RETRY_US_FIRST: u64 = 250_000;
/// Longest wait before a lane's failed source is opened again, in microseconds.
pub const LANE_RETRY_US_MAX: u64 = 30_000_000;
/// Time after which a source that delivers counts as sound again, in microseconds.
pub const LANE_SOUND_US: u64 = 10_000_000;
/// Pictures in a row that a source may fail to deliver before it is opened anew.
pub const LANE_FAULTS_MAX: u32 = 8;
/// Longest silence of a program that should deliver frames, in milliseconds, where the lane's
/// configuration does not say otherwise.
pub const LANE_SILENCE_MS_DEFAULT: u64 = 5_000;
/// Most pictures per second that a lane's source is asked for.
pub const LANE_RATE_MAX: f64 = 120.0;
/// Largest text of a deployer's own rules in bytes; the longest of the house has 9 kB.
pub const OWN_TEXT_BYTES_MAX: usize = 256 * 1024;
/// References in one verification.
pub const REFERENCES_MAX: usize = 8;
/// Largest request body in bytes; two large photographs as base64 fit.
pub const BODY_BYTES_MAX: usize = 24 * 1024 * 1024;
/// Largest encoded image in bytes.
pub const IMAGE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Scans of one progressive JPEG; encoders write about ten, and each one costs a walk over the
/// whole picture however few bytes it has.
pub const IMAGE_SCANS_MAX: usize = 32;
/// Largest JPEG 2000 picture in pixels (1,200 x 1,600, the largest portrait that document profiles
/// recommend). Its decoder holds about 20 bytes for each in three components, 38 MiB.
pub const JPEG2000_PIXELS_MAX: usize = 1_920_000;
/// Most tiles of a JPEG 2000 picture; 64 x 64 pixels each would be 469.
pub const JPEG2000_TILES_MAX: u32 = 512;
/// Most decomposition levels of a JPEG 2000 picture; encoders write 5 or 6, and after 10 a picture
/// of the longest edge is 16 pixels wide.
pub const JPEG2000_LEVELS_MAX: u8 = 10;
/// Most quality layers of a JPEG 2000 picture.
pub const JPEG2000_LAYERS_MAX: u16 = 32;
/// Most precincts and, once for every layer, code blocks in one tile of a JPEG 2000 picture: what
/// its decoder keeps books on, at about 100 bytes each.
pub const JPEG2000_BLOCKS_MAX: u64 = 131_072;
/// Most samples times bit planes of a JPEG 2000 picture: the decoder may have to visit each three
/// times, however few bytes the file has. The largest portrait in three components may have 16; one
/// of 413 x 531 pixels as many as the format knows, a region of interest included.
pub const JPEG2000_PLANE_SAMPLES_MAX: u64 = 3 * 16 * JPEG2000_PIXELS_MAX as u64;
/// Largest file of a passport chip in bytes; photographs have 12 to 30 kB.
pub const DOCUMENT_BYTES_MAX: usize = 1024 * 1024;
/// Photographs of one data group 2; its number of instances is 1 to 9.
pub const PORTRAITS_MAX: usize = 9;
/// Bytes after a photograph's record, or after the file, that are passed over: chips are padded,
/// and some states count their records 1 or 8 bytes short.
pub const DOCUMENT_TRAILING_BYTES_MAX: usize = 8;
/// Largest model file in bytes (an iresnet100 has 261 MB of weights).
pub const MODEL_BYTES_MAX: u64 = 1 << 30;
/// Most nodes of a model graph.
pub const MODEL_NODES_MAX: usize = 10_000;
/// Values of one buffer of a network, per item: no more than all of them together.
pub const BUFFER_VALUES_MAX: usize = MODEL_BUFFER_VALUES_MAX;
/// Most values in all buffers of a network together, for one item (YuNet at 640 × 640 has 8
/// million, an iresnet100 at 112 × 112 has 30 million).
pub const MODEL_BUFFER_VALUES_MAX: usize = 1 << 27;
/// Networks that judge one face together in presentation attack detection.
pub const ATTACK_NETWORKS_MAX: usize = 4;
/// Frames in one engine batch.
pub const BATCH_FRAMES_MAX: usize = 8;
/// Longest that a frame waits for company, in microseconds, when the engine is busy.
pub const BATCH_WAIT_US_MAX: u64 = 4_000;
/// Transactions in flight; one more is refused as busy.
pub const TRANSACTIONS_MAX: usize = 64;
/// Probes that one search takes: everybody who waits when it begins. One scan serves them all, so
/// that a burst costs little more than one of them.
pub const SEARCH_PROBES_MAX: usize = 64;
/// Lines that compare and decide, one thread each. While one of them rides a scan, another takes
/// those who came meanwhile, and joins it; more than a few only split the burst.
pub const MATCH_LINES: usize = 4;
/// Of those, places that enrolments leave to gates.
pub const GATE_TRANSACTIONS: usize = TRANSACTIONS_MAX / 4;
/// Detections of one frame that non-maximum suppression looks at, most confident first (as OpenCV's
/// face detector): its work grows with the square.
pub const DETECTIONS_MAX: usize = 5_000;
/// Faces kept per frame, largest first.
pub const FACES_PER_FRAME_MAX: usize = 16;
/// Best rows kept by one search.
pub const CANDIDATES_MAX: usize = 256;
/// References per enrolled subject.
pub const REFERENCES_PER_SUBJECT_MAX: usize = 4;
/// Largest number of template dimensions.
pub const DIMS_MAX: usize = 2048;
/// Rows of one gallery tile: a hot plane of 96 to 128 dimensions fits half of a common L2 cache
/// many times over, and an erasure rewrites one tile, which then is some hundred kilobytes.
pub const TILE_ROWS: u32 = 1024;
/// Rows of one gallery.
pub const GALLERY_ROWS_MAX: u64 = 16_000_000;
/// Results of erasures that are remembered while the audit cannot be written.
pub const AUDIT_OWED_MAX: usize = 10_000;
/// Galleries of one appliance.
pub const GALLERIES_MAX: usize = 256;
/// Records of one store that opens only with their holders' secrets.
pub const HOLDER_RECORDS_MAX: u64 = 1_000_000;
/// Default time a request may take, in milliseconds.
pub const DEADLINE_MS_DEFAULT: u64 = 8_000;
/// Longest deadline a caller may ask for, in milliseconds.
pub const DEADLINE_MS_MAX: u64 = 60_000;
/// Comparisons of one lane transaction: each is a chance of a false match, so their number bounds
/// by what the rate of one comparison is multiplied.
pub const COMPARISONS_MAX: u32 = 32;
/// Attempts of one traveller at a lane, however many the configuration allows.
pub const ATTEMPTS_MAX: u8 = 5;
/// Transactions whose outcomes are remembered; the oldest is forgotten. At one traveller every
/// five seconds and lane that is a day of one lane, or an hour of 22.
pub const TRANSACTIONS_REMEMBERED: usize = 16_384;
/// Lines after which the journal of transactions is written anew; two for each that is remembered
/// stay.
pub const JOURNAL_LINES_MAX: usize = 4 * TRANSACTIONS_REMEMBERED;
/// Largest journal of transactions that is read, in bytes; a line has at most 250.
pub const JOURNAL_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Callers that watch one transaction.
pub const WATCHERS_MAX: usize = 8;
/// Events of one transaction that a slow watcher may fall behind, before it is let go.
pub const WATCHER_EVENTS_MAX: usize = 64;
/// Shortest time that a display shows one text, in microseconds: what flickers is not read.
pub const GUIDANCE_HOLD_US: u64 = 500_000;
/// Time after which a lane's frame that nobody could take is offered again, in microseconds.
pub const JUDGE_AGAIN_US: u64 = 20_000;
/// Time before a transaction's deadline at which the last of its frames must be decided, in
/// microseconds, so that the reply arrives before the transaction ends.
pub const REPLY_MARGIN_US: u64 = 20_000;
/// Time in which a measured pace loses half its weight when nothing is measured, in microseconds:
/// long against the pause between two travellers, short against a shift.
pub const PACE_HALF_LIFE_US: u64 = 10_000_000;
/// Longest that the end of a transaction waits for the pipeline to let go of its frame, in
/// microseconds: many times what an engine needs for a batch. One that needs longer hangs.
pub const LET_GO_US: u64 = 2_000_000;
/// HTTP connections at once.
pub const CONNECTIONS_MAX: usize = 256;
/// HTTP connections beyond them that are kept for whoever watches the appliance: one scrape and the
/// probes of an orchestrator, each with a successor that comes before it has gone.
pub const WATCH_CONNECTIONS: usize = 8;
/// Longest that a caller may take to send the head of a request, in milliseconds.
pub const HEAD_MS_MAX: u64 = 5_000;
/// Longest that a caller may take to send a request body, in milliseconds.
pub const BODY_MS_MAX: u64 = 10_000;
/// Longest that the rest of a refused body is read and thrown away, in milliseconds, so that the
/// caller reads its answer and not a reset connection.
pub const DRAIN_MS_MAX: u64 = 3_000;
/// Longest that one turn of a line may take before the appliance is not ready, in microseconds:
/// whoever waits behind it with the default deadline is late then, and so is everybody who comes.
pub const TURN_US_MAX: u64 = 10_000_000;
/// Longest that what is in flight may take to end when the appliance stops, in milliseconds.
pub const STOP_MS_MAX: u64 = 10_000;
/// Time beyond it in which an engine may still finish its batch, in milliseconds; one that does not
/// is left behind.
pub const DRAIN_GRACE_MS: u64 = 2_000;
/// Time in which the programs and folders behind lanes must end when the appliance stops, in
/// milliseconds; one that does not is left behind.
pub const LANE_STOP_MS: u64 = 2_000;
/// Time after which a program that was killed is left to the system, in milliseconds.
pub const KILL_MS_MAX: u64 = 1_000;
/// Time in which callers that still wait when all else has ended are let go, in milliseconds.
pub const LAST_MS_MAX: u64 = 1_000;
/// Largest EF.SOD in bytes; real ones have two to ten thousand.
pub const SOD_BYTES_MAX: usize = 64 * 1024;
/// Data groups that a chip can have.
pub const DATA_GROUPS_MAX: usize = 16;
/// Signers of one signed message; documents have one.
pub const SIGNERS_MAX: usize = 8;
/// Shortest RSA key that is verified at all, in bits; below 2048 a document is weak.
pub const RSA_BITS_MIN: usize = 1024;
/// Longest RSA key that is verified, in bits: the largest that a country certificate has.
pub const RSA_BITS_MAX: usize = 6144;
/// Largest file of country certificates in bytes; a national master list has about one million.
pub const TRUST_FILE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Files of one folder of country certificates.
pub const TRUST_FILES_MAX: usize = 4_096;
/// Country certificates that are held at most; a national master list has about 600.
pub const TRUST_CERTIFICATES_MAX: usize = 8_192;
/// Age at which a revocation list that names no next update is stale, in seconds: ICAO Doc 9303-12
/// has every country publish one at least every 90 days.
pub const CRL_AGE_S_MAX: i64 = 90 * 24 * 60 * 60;
/// Country certificates that are tried for one document signer.
pub const TRUST_TRIES_MAX: usize = 16;
/// Longest that a device may take to answer, in milliseconds, before it counts as lost: many times
/// what the slowest of them needs for a batch.
pub const DEVICE_WAIT_MS_MAX: u64 = 120_000;
/// Days that the audit is kept at least: six months (AI Act Art. 19 and 26(6)).
pub const AUDIT_DAYS_MIN: u32 = 184;
/// Days that an exemption from consent may be invoked for at once; who needs it for longer writes
/// it down again, and the assessment is opened anew.
pub const EXEMPTION_DAYS_MAX: i64 = 90;
/// Zones (camera groups) of one site; the largest that the source documents name has 12 entrances.
pub const SITE_ZONES_MAX: usize = 64;
/// Largest profile that is read, in bytes.
pub const PROFILE_BYTES_MAX: u64 = 256 * 1024;
/// Consents that are held at most, those included that are over and kept as a proof: a full store
/// of holders' records, each of which followed another. The days for which proofs are kept are held
/// against it when a profile is read.
pub const CONSENTS_MAX: u64 = 2 * HOLDER_RECORDS_MAX;
/// Entry events that wait for their receiver at most: weeks of a large residence.
pub const OUTBOX_MAX: u64 = 100_000;
/// First wait after an entry event was not taken, in microseconds; each failure in a row doubles
/// it.
pub const WEBHOOK_RETRY_US_FIRST: u64 = 250_000;
/// Longest wait after an entry event was not taken, in microseconds.
pub const WEBHOOK_RETRY_US_MAX: u64 = 300_000_000;
/// Longest that the receiver of entry events may take to accept a connection, in milliseconds.
pub const WEBHOOK_CONNECT_MS: u64 = 3_000;
/// Longest that it may take to answer, in milliseconds.
pub const WEBHOOK_ANSWER_MS: u64 = 10_000;
/// Time in which callers without a credential that counts are counted before they stand in the
/// audit once more, in microseconds.
pub const STRANGERS_INTERVAL_US: u64 = 60_000_000;
/// Persons behind credentials.
pub const PERSONS_MAX: usize = 1_024;
/// Time in which a hit of a watchlist must be confirmed, in seconds.
pub const HIT_WAIT_S: i64 = 15 * 60;
/// Enrolments of one guest that are erased together when the guest is back: visits of one day after
/// which the guest came back another way.
pub const VISITS_MAX: usize = 8;
/// Hits of a watchlist that wait for their confirmations.
pub const HITS_MAX: usize = 1_024;
/// Compute threads of one engine.
pub const ENGINE_THREADS_MAX: usize = 64;

const _: () = assert!(
    SLOTS > REFERENCES_MAX,
    "one verification with every reference must fit, or it could never be answered"
);
const _: () = assert!(
    BODY_BYTES_MAX >= 2 * IMAGE_BYTES_MAX * 4 / 3,
    "a probe and a reference of the largest size must fit one body as base64"
);
const _: () = assert!(
    DIMS_MAX * 127 * 127 < i32::MAX as usize,
    "a score of two saturated templates must fit i32"
);
const _: () = assert!(
    JOURNAL_LINES_MAX as u64 * 200 < JOURNAL_BYTES_MAX,
    "the journal that is written must be one that is read"
);
const _: () = assert!(BATCH_FRAMES_MAX <= SLOTS, "a batch is made of slots");
const _: () = assert!(
    SEARCH_PROBES_MAX >= TRANSACTIONS_MAX,
    "whatever waits together must fit one search, or a burst would cost several scans"
);
const _: () = assert!(MATCH_LINES >= 2, "a search that runs must not hold up the next");
