export default function double(values: readonly number[]): readonly number[] {
  return values.map((x) => 2 * x + 1)
}
