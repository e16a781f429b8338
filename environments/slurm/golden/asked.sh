#!/bin/bash
#SBATCH --no-requeue
#SBATCH --job-name=b-7f3a
#SBATCH --array=0-2
#SBATCH --chdir="/home/a b/50%/\"x\"\\y"
#SBATCH --output="/home/a b/50%%/log"
#SBATCH --open-mode=append
#SBATCH --time=2
#SBATCH --mem=2M
#SBATCH --nodes=1
#SBATCH --cpus-per-task=2
#SBATCH --gres=gpu:2
exit 0
