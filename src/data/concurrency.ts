// Runs asynchronous work on the items of a list, a few at a time.

/**
 * Calls `work` for every item with at most `limit` calls under way. After a failure no further item is begun, those
 * under way are waited for, and the error of the first item in list order that failed is thrown.
 */
export async function mapConcurrently<T>(
  items: readonly T[],
  limit: number,
  work: (item: T, index: number) => Promise<void>,
): Promise<void> {
  const failures: { index: number; error: unknown }[] = [];
  let next = 0;
  const runner = async (): Promise<void> => {
    while (next < items.length && failures.length === 0) {
      const index = next++;
      try {
        await work(items[index], index);
      } catch (error) {
        failures.push({ index, error });
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, runner));
  if (failures.length > 0) throw failures.sort((a, b) => a.index - b.index)[0].error;
}
