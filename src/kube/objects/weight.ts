/**
 * What V8 takes for an object, an array, a pointer and a string, in bytes (64 bits, no compressed pointers);
 * rounded up.
 */
const OBJECT = 56;
const LIST = 32;
const SLOT = 8;
const STRING = 24;
/** For a field whose name is not in `COMMON_FIELDS`: the name itself, and its place in a table. */
const RARE_FIELD = 72;

/** Names of fields of Services and slices: V8 holds each of them once, however many objects there are. */
const COMMON_FIELDS: ReadonlySet<string> = new Set(
  (
    'metadata name namespace uid resourceVersion labels annotations deletionTimestamp spec ports port targetPort protocol appProtocol nodePort selector ' +
    'clusterIP clusterIPs type ipFamilies ipFamilyPolicy internalTrafficPolicy externalTrafficPolicy sessionAffinity sessionAffinityConfig externalName ' +
    'publishNotReadyAddresses addressType endpoints addresses conditions ready serving terminating hostname zone hints forZones nodeName targetRef kind status'
  ).split(' '),
);

/**
 * About how many bytes of memory a parsed JSON value takes while it is held. Bounds memory, so it errs
 * upwards; objects come from `JSON.parse` of text whose depth is limited.
 */
export function weightOf(value: unknown): number {
  if (typeof value === 'string') return stringWeight(value);
  if (typeof value === 'number') return SLOT * 2;
  if (typeof value !== 'object' || value === null) return 0;
  if (Array.isArray(value)) {
    let weight = LIST + SLOT * value.length;
    for (const element of value) weight += weightOf(element);
    return weight;
  }
  let weight = OBJECT;
  const fields = value as Readonly<Record<string, unknown>>;
  // Without the list of pairs that `Object.entries` makes: this is done for every object that is read.
  for (const name of Object.keys(fields)) {
    weight += SLOT + weightOf(fields[name]);
    if (!COMMON_FIELDS.has(name)) weight += RARE_FIELD + name.length;
  }
  return weight;
}

/**
 * Strings up to this many characters count two bytes each: finding out whether one would do costs more time.
 */
const SHORT = 40;

/** Text of Latin-1 takes a byte for each character, any other two. */
function stringWeight(text: string): number {
  const { length } = text;
  if (length <= SHORT) return STRING + 2 * length;
  return STRING + (Buffer.byteLength(text) === length ? length : 2 * length);
}
