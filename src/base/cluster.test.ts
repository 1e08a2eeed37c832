// What environments of launchers say.
import { describe, expect, it } from "vitest";
import { clusterPlace, firstHost } from "./cluster.js";

const torchrun = {
  RANK: "3",
  WORLD_SIZE: "8",
  LOCAL_RANK: "1",
  LOCAL_WORLD_SIZE: "2",
  MASTER_ADDR: "host-a",
  MASTER_PORT: "29500",
};
const slurm = {
  SLURM_JOB_ID: "1234",
  SLURM_STEP_ID: "2",
  SLURM_NTASKS: "4",
  SLURM_STEP_NUM_TASKS: "4",
  SLURM_PROCID: "2",
  SLURM_LOCALID: "0",
  SLURM_STEP_NODELIST: "node[07-08],big1",
};
const mpi = {
  OMPI_COMM_WORLD_RANK: "1",
  OMPI_COMM_WORLD_SIZE: "2",
  OMPI_COMM_WORLD_LOCAL_RANK: "1",
  OMPI_COMM_WORLD_LOCAL_SIZE: "2",
};

it.each([
  ["node[03-05,9],login", "node03"],
  ["node[3,9]-ib,x", "node3-ib"],
  ["a,b", "a"],
  ["alone", "alone"],
])("the first of %s is %s", (list, first) => expect(firstHost(list)).toBe(first));

describe("a place", () => {
  it("is none without a launcher, and none of a single task", () => {
    expect(clusterPlace({ MASTER_ADDR: "host-a", MASTER_PORT: "1" })).toBeNull();
    expect(clusterPlace({ RANK: "0", WORLD_SIZE: "1" })).toBeNull();
    expect(clusterPlace({ ...slurm, SLURM_STEP_NUM_TASKS: "1", SLURM_PROCID: "0" })).toBeNull();
    expect(clusterPlace({ ...mpi, OMPI_COMM_WORLD_SIZE: "1", OMPI_COMM_WORLD_RANK: "0" })).toBeNull();
  });

  it("is none of a batch script of Slurm's, which is no task", () => {
    const { SLURM_STEP_NUM_TASKS: _, SLURM_STEP_ID: __, ...script } = { ...slurm, SLURM_PROCID: "0" };
    expect(clusterPlace(script)).toBeNull();
  });

  it("is what torchrun says", () => {
    expect(clusterPlace(torchrun)).toEqual({
      rank: 3,
      size: 8,
      localSize: 2,
      address: "host-a",
      port: 29500,
    });
  });

  it("is what Slurm says of a step, and the port is of the job and the step", () => {
    const place = clusterPlace(slurm)!;
    expect(place).toMatchObject({ rank: 2, size: 4, localSize: null, address: "node07" });
    expect(clusterPlace({ ...slurm, SLURM_PROCID: "0" })!.port).toBe(place.port);
    expect(clusterPlace({ ...slurm, SLURM_STEP_ID: "3" })!.port).not.toBe(place.port);
    expect(clusterPlace({ ...slurm, MASTER_ADDR: "10.0.0.7", MASTER_PORT: "77" })).toMatchObject({
      address: "10.0.0.7",
      port: 77,
    });
  });

  it("is on loopback where Open MPI has all processes on one machine", () => {
    expect(clusterPlace(mpi)).toMatchObject({ rank: 1, size: 2, localSize: 2, address: "127.0.0.1" });
  });
});

describe("half an environment is refused, and what is missing named:", () => {
  it.each([
    ["WORLD_SIZE", { ...torchrun, WORLD_SIZE: undefined }],
    ["RANK", { ...torchrun, RANK: undefined }],
    ["RANK", { ...torchrun, RANK: "8" }],
    ["WORLD_SIZE", { ...torchrun, WORLD_SIZE: "many" }],
    ["MASTER_ADDR", { ...torchrun, MASTER_ADDR: undefined }],
    ["MASTER_ADDR", { ...torchrun, MASTER_ADDR: "" }],
    ["MASTER_PORT", { ...torchrun, MASTER_PORT: undefined }],
    ["MASTER_PORT", { ...torchrun, MASTER_PORT: "99999" }],
    ["MASTER_ADDR", { ...mpi, OMPI_COMM_WORLD_LOCAL_SIZE: "1" }],
    ["OMPI_COMM_WORLD_RANK", { ...mpi, OMPI_COMM_WORLD_RANK: undefined }],
    ["MASTER_ADDR", { ...slurm, SLURM_STEP_NODELIST: undefined }],
  ])("%s", (name, environment) => {
    expect(() => clusterPlace(environment)).toThrow(
      expect.objectContaining({
        code: "PROCESSES_ENVIRONMENT",
        exitStatus: 2,
        message: expect.stringMatching(new RegExp(`expected .*${name}`)),
      }),
    );
  });
});
