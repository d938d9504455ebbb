/** The part of the package `ping` that knows each platform's program and options; its own types leave it out. */
declare module 'ping/lib/builder/factory.js' {
  interface Builder {
    /** Throws where the platform's program cannot do what is requested. */
    getCommandArguments(target: string, config: { timeout: number; min_reply: number; v6: boolean }): string[];
  }
  const factory: {
    createBuilder(platform: NodeJS.Platform): Builder;
    getExecutablePath(platform: NodeJS.Platform, v6: boolean): string;
  };
  export = factory;
}
