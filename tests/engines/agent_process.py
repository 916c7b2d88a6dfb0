"""The agent as a process of its own, for tests: `python agent_process.py DATA_DIR SETTINGS_JSON [LIFE_LINE_FD]`."""

import asyncio
import json
import os
import sys
from pathlib import Path

from tidegate.data_directory import DataDirectory
from tidegate.engines.agent.agent import run
from tidegate.settings import EngineSettings, HousekeepingSettings

if __name__ == "__main__":
    life_line = int(sys.argv[3]) if len(sys.argv) > 3 else None
    settings = EngineSettings(**json.loads(sys.argv[2]))
    asyncio.run(run(DataDirectory(Path(sys.argv[1])), settings, HousekeepingSettings(), os.environ, life_line))
