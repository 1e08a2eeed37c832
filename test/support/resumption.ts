// Courses that are saved to files and go on in new objects must end with the same bits as without a break.
import { expect } from "vitest";
import { advance, carryOver, type Place, type Restorable, savedState } from "./courses.js";

/**
 * Runs a course for so many steps, and from copies saved after each of `breaks` steps: all must end alike.
 * @param opened keeps what was made, to be disposed of
 * @param folder begin of the names of the copies
 * @returns the unbroken course
 */
export async function expectExactResumption<T extends Restorable>(
  make: () => Promise<T>,
  steps: number,
  breaks: readonly number[],
  { opened, folder }: { opened: T[]; folder: string },
): Promise<T> {
  const begin = async (): Promise<T> => {
    const course = await make();
    opened.push(course);
    return course;
  };
  const unbroken = await begin();
  const copies: { course: T; place: Place; left: number }[] = [];
  const place = { epoch: 0, step: 0 };
  for (let taken = 0; taken < steps; taken++) {
    if (breaks.includes(taken)) {
      const course = await begin();
      carryOver(unbroken, course, `${folder}-${opened.length}`);
      expect(savedState(course)).toEqual(savedState(unbroken));
      expect(course.epochCount).toBe(unbroken.epochCount);
      copies.push({ course, place: { ...place }, left: steps - taken });
    }
    await advance(unbroken, place, 1);
  }
  const expected = savedState(unbroken);
  for (const { course, place, left } of copies) {
    await advance(course, place, left);
    expect(savedState(course), `saved ${left} steps before the end`).toEqual(expected);
  }
  expect(copies).toHaveLength(breaks.length);
  return unbroken;
}
