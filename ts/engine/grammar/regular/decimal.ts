/** Numbers as JSON writes them, digit by digit and without rounding. */

/** `integer` has no leading zeros and is never empty; `fraction` has no trailing ones. */
export interface Decimal {
  readonly negative: boolean;
  readonly integer: string;
  readonly fraction: string;
}

/** The shortest decimal that reads as `value`, which must be finite, without an exponent. */
export function decimalOf(value: number): Decimal {
  const [mantissa = '', exponentText = '0'] = Math.abs(value).toString().split('e');
  const [whole = '', part = ''] = mantissa.split('.');
  const point = whole.length + Number(exponentText);
  const digits = `${'0'.repeat(Math.max(0, -point))}${whole}${part}`;
  const split = Math.max(0, point);
  const padded = digits.padEnd(split, '0');
  return {
    negative: value < 0,
    integer: padded.slice(0, split).replace(/^0+/, '') || '0',
    fraction: padded.slice(split).replace(/0+$/, ''),
  };
}

/** `value` is `units` times 10 to the power of minus `places`; as few places as that takes. */
export function scaled(value: number): { units: bigint; places: number } {
  const { negative, integer, fraction } = decimalOf(value);
  const units = BigInt(integer + fraction);
  return { units: negative ? -units : units, places: fraction.length };
}

/** Whether `value` is a whole multiple of `divisor`, as decimals. `divisor` must not be 0. */
export function isMultiple(value: number, divisor: number): boolean {
  const [a, b] = [scaled(value), scaled(divisor)];
  const places = Math.max(a.places, b.places);
  const raise = ({ units, places: own }: { units: bigint; places: number }) =>
    units * 10n ** BigInt(places - own);
  return raise(a) % raise(b) === 0n;
}
